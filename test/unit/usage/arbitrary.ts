import fc from "fast-check";
import { whole, type Whole } from "../../../src/usage/decimal.ts";
import { DIMENSIONS } from "../../../src/usage/dimensions.ts";
import { cleanKey } from "../../../src/usage/keys.ts";
import type { Measures } from "../../../src/usage/measures.ts";
import { RollupBuilder, type Group, type Rollup } from "../../../src/usage/rollup.ts";

/** Keys that break what is built carelessly: object keys, reserved keys, quoting, and both sides of the surrogates. */
const HOSTILE_KEYS = [
  "__proto__",
  "constructor",
  "toString",
  "__unknown__",
  "__other__",
  "1",
  " ",
  '"',
  "\\",
  "a\nb",
  "a\n1",
  "\u001f",
  "é",
  "\u{10000}",
  "\u{1F600}x",
  "\uE000",
  "\uFFFF",
  "\uD7FF",
];

export const key = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...HOSTILE_KEYS) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 8 }).map(cleanKey) },
);

/** Small numbers, and such that two of them pass 2^53. */
const count = fc.oneof(fc.bigInt(0n, 9n), fc.bigInt(0n, 2n ** 56n)).map(whole);

export const measures: fc.Arbitrary<Measures> = fc.record({
  requests: count,
  tokens: count,
  prompt: count,
  completion: count,
  cost: fc.oneof(
    fc.bigInt(0n, 9n).map((units) => units * 10n ** 18n),
    fc.bigInt(0n, 10n ** 34n),
  ),
});

export const group: fc.Arbitrary<Group> = fc.record({
  keys: fc.record({ user: key, model: key, provider: key }),
  sums: measures,
  malformed: count,
});

export const groups = fc.array(group, { maxLength: 20 });

export function rollup(parts: Iterable<Group>): Rollup {
  const builder = new RollupBuilder();
  for (const part of parts) builder.add(part);
  return builder.build();
}

/** The same events in two groups: of every measure, `share` eighths are in the first. */
export function split({ keys, sums, malformed }: Group, share: bigint): [Group, Group] {
  const first = (value: Whole) => whole((BigInt(value) * share) / 8n);
  const rest = (value: Whole) => whole(BigInt(value) - BigInt(first(value)));
  const part = (take: (value: Whole) => Whole): Group => {
    const { requests, tokens, prompt, completion, cost } = sums;
    const counts = {
      requests: take(requests),
      tokens: take(tokens),
      prompt: take(prompt),
      completion: take(completion),
    };
    return { keys, sums: { ...counts, cost: BigInt(take(cost)) }, malformed: take(malformed) };
  };
  return [part(first), part(rest)];
}

export type Sums = Record<keyof Measures, bigint>;

/** Adds up in bigints, by whatever names a part. */
export function sumBy<T extends { readonly sums: Measures }>(parts: readonly T[], name: (part: T) => string) {
  const sums = new Map<string, Sums>();
  for (const part of parts) {
    const sofar = sums.get(name(part)) ?? { requests: 0n, tokens: 0n, prompt: 0n, completion: 0n, cost: 0n };
    for (const measure of Object.keys(sofar) as (keyof Sums)[]) sofar[measure] += BigInt(part.sums[measure]);
    sums.set(name(part), sofar);
  }
  return sums;
}

/** Everything added up. */
export function total(parts: readonly { readonly sums: Measures }[]): Sums | undefined {
  return sumBy(parts, () => "all").get("all");
}

export const bytesOrder = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

export const dimensionNames = DIMENSIONS.map(({ name }) => name);
