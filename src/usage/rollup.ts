import { DIMENSIONS, type DimensionName, type Keys } from "./dimensions.ts";
import { compareKeys, OTHER_KEY, sortKeys } from "./keys.ts";
import { addMeasures, compareSize, noMeasures, type Measures } from "./measures.ts";
import { addWhole, type Whole } from "./decimal.ts";

/** Some events of a day that share their keys, as the server summed them. */
export interface Group {
  readonly keys: Keys;
  readonly sums: Measures;
  /** how many of `sums.requests` had a field that does not count */
  readonly malformed: Whole;
}

/** The sums of one tenant-day at its finest grain and by each dimension; every list is sorted by UTF-8 bytes. */
export interface Rollup {
  readonly totals: Measures;
  readonly malformed: Whole;
  readonly rows: readonly RollupRow[];
  readonly folded: Readonly<Record<DimensionName, readonly FoldedKey[]>>;
}

export interface RollupRow {
  readonly keys: Keys;
  readonly sums: Measures;
}

export interface FoldedKey {
  readonly key: string;
  readonly sums: Measures;
}

/**
 * Adds up groups into a rollup. Groups may come in any order and in any number of parts (slices of a day), and the
 * same keys may come again: the result is the same.
 */
export class RollupBuilder {
  readonly #rows = new Map<string, RollupRow>();
  readonly #folded = Object.fromEntries(DIMENSIONS.map(({ name }) => [name, new Map<string, Measures>()])) as Record<
    DimensionName,
    Map<string, Measures>
  >;
  readonly #totals = noMeasures();
  #malformed: Whole = 0;

  add(group: Group): void {
    const { keys, sums } = group;
    // NUL cannot occur in a key, so the joined text is as good as the tuple.
    const id = `${keys.user}\0${keys.model}\0${keys.provider}`;
    const row = this.#rows.get(id);
    if (row) addMeasures(row.sums, sums);
    else this.#rows.set(id, { keys, sums: { ...sums } });
    for (const { name } of DIMENSIONS) {
      const folded = this.#folded[name];
      const sofar = folded.get(keys[name]);
      if (sofar) addMeasures(sofar, sums);
      else folded.set(keys[name], { ...sums });
    }
    addMeasures(this.#totals, sums);
    this.#malformed = addWhole(this.#malformed, group.malformed);
  }

  build(): Rollup {
    const rows = sortedEntries(this.#rows).map(([, row]) => row);
    const folded = Object.fromEntries(
      DIMENSIONS.map(({ name }) => [name, sortedEntries(this.#folded[name]).map(([key, sums]) => ({ key, sums }))]),
    ) as unknown as Rollup["folded"];
    return { totals: this.#totals, malformed: this.#malformed, rows, folded };
  }
}

/** In order of the keys. The joined keys of a row sort as the tuple does, because NUL is below every character. */
function sortedEntries<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return sortKeys([...map.keys()]).map((key) => [key, map.get(key) as V]);
}

/**
 * Keeps the `keep` largest keys (by cost, then tokens, then key bytes) and folds the rest, exactly, into
 * `__other__`, which counts as one of them. A real key of that name merges into it.
 */
export function foldSmallest(keys: readonly FoldedKey[], keep: number): FoldedKey[] {
  const ranked = rankBySize(keys);
  const kept = ranked.slice(0, Math.max(0, keep - 1));
  const other = noMeasures();
  for (const { sums } of ranked.slice(kept.length)) addMeasures(other, sums);
  const merged = keys.find(({ key }) => key === OTHER_KEY);
  if (merged) addMeasures(other, merged.sums);
  return [...kept, { key: OTHER_KEY, sums: other }].sort((a, b) => compareKeys(a.key, b.key));
}

/** The keys but `__other__`, the largest first: by cost, then tokens, then key bytes. */
export function rankBySize(keys: readonly FoldedKey[]): FoldedKey[] {
  return keys
    .filter(({ key }) => key !== OTHER_KEY)
    .sort((a, b) => compareSize(a.sums, b.sums) || compareKeys(a.key, b.key));
}
