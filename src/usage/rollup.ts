import { byDimension, DIMENSION_NAMES, type DimensionName, type Keys } from "./dimensions.ts";
import { compareKeys, OTHER_KEY } from "./keys.ts";
import { addMeasures, compareSize, noMeasures, type Measures } from "./measures.ts";
import { addWhole, type Whole } from "./decimal.ts";
import { listSums, SumTable, type ListedSums } from "./sums.ts";

/** Some events of a day that share their keys, as the server summed them. */
export interface Group {
  readonly keys: Keys;
  readonly sums: Measures;
  /** how many of `sums.requests` had a malformed field */
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
 * Adds groups up into a rollup. The order of groups and their division into slices of a day do not change the result;
 * keys may repeat.
 */
export class RollupBuilder {
  readonly #rows = new SumTable();
  readonly #rowKeys: Keys[] = [];
  readonly #folded = byDimension(() => new SumTable());
  readonly #totals = new SumTable();
  readonly #listed: ListedSums = { wholes: [], costs: [] };
  #malformed: Whole = 0;

  add({ keys, sums, malformed }: Group): void {
    const listed = this.#listed;
    listSums(sums, listed);
    if (this.#rows.add(joinKeys(keys), listed)) this.#rowKeys.push(keys);
    for (const name of DIMENSION_NAMES) this.#folded[name].add(keys[name], listed);
    this.#totals.add("", listed);
    this.#malformed = addWhole(this.#malformed, malformed);
  }

  build(): Rollup {
    // The joined keys of a row sort as the tuple does, because NUL is below every character.
    const rows = this.#rows.inOrder((_, sums, place) => ({ keys: this.#rowKeys[place] as Keys, sums }));
    const folded = byDimension((name) => this.#folded[name].inOrder((key, sums) => ({ key, sums })));
    const totals = this.#totals.inOrder((_, sums) => sums)[0] ?? noMeasures();
    return { totals, malformed: this.#malformed, rows, folded };
  }
}

const [FIRST, ...OTHERS] = DIMENSION_NAMES as [DimensionName, ...DimensionName[]];

/** The keys joined to one text, equal only for equal keys: NUL occurs in no key. */
export function joinKeys(keys: Keys): string {
  let joined = keys[FIRST];
  for (const name of OTHERS) joined += `\0${keys[name]}`;
  return joined;
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
