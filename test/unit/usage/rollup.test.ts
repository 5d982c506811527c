import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OTHER_KEY } from "../../../src/usage/keys.ts";
import { foldSmallest, type FoldedKey, type Group } from "../../../src/usage/rollup.ts";
import { holds } from "../../support/property.ts";
import { bytesOrder, dimensionNames, groups, key, measures, rollup, split, sumBy, total } from "./arbitrary.ts";

/** Every value of a rollup's sums as a bigint, so that it compares with sums made without the code under test. */
const asBigints = (parts: readonly { readonly sums: FoldedKey["sums"] }[]) => parts.map((part) => total([part]));

/** Groups that say so when they are written to. */
function frozen(parts: readonly Group[]): Group[] {
  return parts.map(({ keys, sums, malformed }) => ({
    keys: Object.freeze({ ...keys }),
    sums: Object.freeze({ ...sums }),
    malformed,
  }));
}

describe("a rollup", () => {
  test("is the same whatever the order of groups, and in however many parts each comes", () => {
    const anyOrder = groups.chain((whole) =>
      fc.array(fc.bigInt(0n, 8n), { minLength: whole.length, maxLength: whole.length }).chain((shares) => {
        const parts = whole.flatMap((one, index) => split(one, shares[index] ?? 0n));
        return fc.record({
          whole: fc.constant(whole),
          parts: fc.shuffledSubarray(parts, { minLength: parts.length }),
        });
      }),
    );
    holds(
      fc.property(anyOrder, ({ whole, parts }) => {
        expect(rollup(parts)).toEqual(rollup(whole));
      }),
    );
  });

  test("adds up to the same by user, by model, by provider, at the finest grain and in total", () => {
    holds(
      fc.property(groups, (parts) => {
        const { totals, malformed, rows, folded } = rollup(frozen(parts));
        for (const name of dimensionNames) {
          const expected = sumBy(parts, ({ keys }) => keys[name]);
          const order = [...expected.keys()].sort(bytesOrder);
          expect(folded[name].map((entry) => entry.key)).toEqual(order);
          expect(asBigints(folded[name])).toEqual(order.map((one) => expected.get(one)));
        }
        const tuple = ({ keys }: Pick<Group, "keys">) => JSON.stringify([keys.user, keys.model, keys.provider]);
        const finest = sumBy(parts, tuple);
        expect(new Map(rows.map((row) => [tuple(row), total([row])]))).toEqual(finest);
        expect(rows).toHaveLength(finest.size);
        expect(parts.length > 0 ? asBigints([{ sums: totals }]) : []).toEqual(parts.length > 0 ? [total(parts)] : []);
        expect(BigInt(malformed)).toBe(parts.reduce((sum, part) => sum + BigInt(part.malformed), 0n));
      }),
    );
  });

  test("keeps its rows in the byte order of user, then model, then provider", () => {
    holds(
      fc.property(groups, (parts) => {
        const { rows } = rollup(parts);
        const sorted = [...rows].sort(
          (a, b) =>
            bytesOrder(a.keys.user, b.keys.user) ||
            bytesOrder(a.keys.model, b.keys.model) ||
            bytesOrder(a.keys.provider, b.keys.provider),
        );
        expect(rows).toEqual(sorted);
      }),
    );
  });

  test("does not take two tuples for one that join to the same text", () => {
    const sums = { requests: 1, tokens: 1, prompt: 1, completion: 0, cost: 1n };
    const one = (user: string, model: string, provider: string) => ({
      keys: { user, model, provider },
      sums,
      malformed: 0,
    });
    expect(rollup([one("a", "b c", "d"), one("a b", "c", "d"), one("a", "b", "c d")]).rows).toHaveLength(3);
  });

  test("of nothing is nothing", () => {
    expect(rollup([])).toEqual({
      totals: { requests: 0, tokens: 0, prompt: 0, completion: 0, cost: 0n },
      malformed: 0,
      rows: [],
      folded: { user: [], model: [], provider: [] },
    });
  });
});

describe("foldSmallest", () => {
  const keyed = fc.uniqueArray(fc.record({ key, sums: measures }), {
    selector: (entry) => entry.key,
    minLength: 1,
    maxLength: 12,
  });
  /** Many equal sizes, so that the tie-breaks decide. */
  const tied = fc.uniqueArray(
    fc.record({
      key,
      sums: fc.record({
        requests: fc.constant(1),
        tokens: fc.constantFrom(1, 2, 2n ** 60n),
        prompt: fc.constant(0),
        completion: fc.constant(0),
        cost: fc.constantFrom(0n, 1n),
      }),
    }),
    { selector: (entry) => entry.key, minLength: 1, maxLength: 12 },
  );
  const share = fc.nat(11);

  test("keeps the largest by cost, then tokens, then key bytes; the rest is exact in __other__", () => {
    holds(
      fc.property(fc.oneof(keyed, tied), share, (keys, some) => {
        const limit = 1 + (some % keys.length);
        const ranked = keys
          .filter((entry) => entry.key !== OTHER_KEY)
          .sort((a, b) => {
            if (a.sums.cost !== b.sums.cost) return a.sums.cost > b.sums.cost ? -1 : 1;
            const [x, y] = [BigInt(a.sums.tokens), BigInt(b.sums.tokens)];
            if (x !== y) return x > y ? -1 : 1;
            return bytesOrder(a.key, b.key);
          });
        const largest = ranked.slice(0, limit - 1);
        const rest = keys.filter((entry) => !largest.includes(entry));
        const found = foldSmallest(keys, limit);
        expect(found.filter((entry) => entry.key !== OTHER_KEY)).toEqual(
          [...largest].sort((a, b) => bytesOrder(a.key, b.key)),
        );
        expect(found.map((entry) => entry.key)).toEqual(found.map((entry) => entry.key).sort(bytesOrder));
        const other = found.filter((entry) => entry.key === OTHER_KEY);
        expect(asBigints(other)).toEqual([total(rest)]);
        expect(found).toHaveLength(limit);
        expect(total(found)).toEqual(total(keys));
      }),
    );
  });

  test("does not depend on the order in which keys come, and leaves them as they are", () => {
    holds(
      fc.property(
        tied.chain((keys) => fc.tuple(fc.constant(keys), fc.shuffledSubarray(keys, { minLength: keys.length }))),
        share,
        ([keys, shuffled], some) => {
          const limit = 1 + (some % keys.length);
          const before = structuredClone(keys);
          expect(foldSmallest(shuffled, limit)).toEqual(foldSmallest(keys, limit));
          expect(keys).toEqual(before);
        },
      ),
    );
  });

  test("merges a real __other__, however large", () => {
    const entry = (name: string, cost: bigint): FoldedKey => ({
      key: name,
      sums: { requests: 1, tokens: 1, prompt: 1, completion: 0, cost },
    });
    expect(foldSmallest([entry(OTHER_KEY, 100n), entry("a", 1n), entry("b", 2n), entry("c", 3n)], 2)).toEqual([
      { key: OTHER_KEY, sums: { requests: 3, tokens: 3, prompt: 3, completion: 0, cost: 103n } },
      entry("c", 3n),
    ]);
  });
});
