import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DIMENSIONS } from "../../../src/usage/dimensions.ts";
import { MAX_DOCUMENT_BYTES, toDocuments, type DocumentLimits } from "../../../src/usage/document.ts";
import { OTHER_KEY } from "../../../src/usage/keys.ts";
import type { Measures } from "../../../src/usage/measures.ts";
import { foldSmallest, type Rollup } from "../../../src/usage/rollup.ts";
import { canonicalDecimal, Decimal } from "../../support/exact-number.ts";
import { JsonNumber, parseLossless, type Json } from "../../support/lossless-json.ts";
import { holds } from "../../support/property.ts";
import { dimensionNames, groups, key, measures, rollup, total } from "./arbitrary.ts";

const WIDE: DocumentLimits = { maxKeys: 50_000, maxRawRows: 200_000, maxBytes: MAX_DOCUMENT_BYTES };
const COLUMNS = ["user", "model", "provider", "requests", "tokens", "prompt", "completion", "cost"];

const hash = (of: Rollup, limits = WIDE) => toDocuments(of, limits).contentHash.toString("hex");

/** What the sums must look like as JSON numbers, made without the code under test. */
function texts({ requests, tokens, prompt, completion, cost }: Measures): string[] {
  const counts = [requests, tokens, prompt, completion].map((value) => BigInt(value).toString());
  return [...counts, canonicalDecimal(new Decimal(`${cost}e-18`))];
}

/** Numbers as their text, so that nothing is rounded and no trailing zero forgiven. */
function plain(value: Json | undefined): unknown {
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof Map) return [...value].map(([name, member]) => [name, plain(member)]);
  return Array.isArray(value) ? value.map(plain) : value;
}

const named = (sums: Measures) => {
  const [requests, tokens, prompt, completion, cost] = texts(sums);
  return [
    ["totalRequests", requests],
    ["totalTokens", tokens],
    ["promptTokens", prompt],
    ["completionTokens", completion],
    ["totalCost", cost],
  ];
};

const foldedKeys = (json: string) => [...(parseLossless(json) as Map<string, Json>).keys()];

/** Many keys, so that limits bite; characters of one to four bytes. */
const wide = fc
  .uniqueArray(fc.tuple(key, fc.string({ unit: fc.constantFrom("a", "é", "\u0800", "\u{1F600}"), maxLength: 30 })), {
    selector: (pair) => pair.join(""),
    minLength: 1,
    maxLength: 30,
  })
  .chain((keys) =>
    fc.tuple(
      ...keys.map(([start, rest]) =>
        measures.map((sums) => ({
          keys: { user: start + rest, model: rest || "m", provider: "p" },
          sums,
          malformed: 0,
        })),
      ),
    ),
  );

describe("documents", () => {
  test("hold the rollup without losing a digit or a key", () => {
    holds(
      fc.property(groups, (parts) => {
        const made = rollup(parts);
        const { raw, folded } = toDocuments(made, WIDE);
        for (const name of dimensionNames) {
          expect(plain(parseLossless(folded[name]))).toEqual(
            made.folded[name].map((one) => [one.key, named(one.sums)]),
          );
          expect(JSON.parse(folded[name])).toBeTypeOf("object");
        }
        expect(plain(parseLossless(raw))).toEqual([
          ["version", "1"],
          ["columns", COLUMNS],
          ["rows", made.rows.map(({ keys, sums }) => [keys.user, keys.model, keys.provider, ...texts(sums)])],
        ]);
      }),
    );
  });

  test("of a day without events are empty, not absent", () => {
    expect(toDocuments(rollup([]), WIDE)).toMatchObject({
      raw: '{"version":1,"columns":["user","model","provider","requests","tokens","prompt","completion","cost"],"rows":[]}',
      folded: { user: "{}", model: "{}", provider: "{}" },
    });
  });

  test("fold what is past MAX_KEYS, and not before", () => {
    holds(
      fc.property(wide, fc.integer({ min: 2, max: 30 }), (parts, maxKeys) => {
        const made = rollup(parts);
        const { folded } = toDocuments(made, { ...WIDE, maxKeys });
        for (const name of dimensionNames) {
          const all = made.folded[name];
          const expected = all.length > maxKeys ? foldSmallest(all, maxKeys) : all;
          expect(plain(parseLossless(folded[name]))).toEqual(expected.map((one) => [one.key, named(one.sums)]));
          expect(expected.length).toBeLessThanOrEqual(maxKeys);
        }
      }),
    );
  });

  test("fold what is past the limit in UTF-8 bytes: the largest stay, the sum is exact, the room is used", () => {
    holds(
      fc.property(wide, fc.integer({ min: 1_500, max: 6_000 }), (parts, maxBytes) => {
        const made = rollup(parts);
        const { folded } = toDocuments(made, { ...WIDE, maxBytes });
        for (const name of dimensionNames) {
          const all = made.folded[name];
          const full = Buffer.byteLength(toDocuments(made, WIDE).folded[name]);
          const kept = foldedKeys(folded[name]);
          const bytes = Buffer.byteLength(folded[name]);
          expect(bytes).toBeLessThanOrEqual(maxBytes);
          if (full <= maxBytes) {
            expect(kept).toHaveLength(all.length);
          } else {
            const expected = foldSmallest(all, kept.length);
            expect(plain(parseLossless(folded[name]))).toEqual(expected.map((one) => [one.key, named(one.sums)]));
            expect(total(expected)).toEqual(total(all));
            expect(bytes).toBeGreaterThan(maxBytes - 2_048); // 1 KiB is left for the remainder, and an entry is below another
          }
        }
      }),
    );
  });

  test("fold by their length in bytes, not in characters", () => {
    const sums = { requests: 1, tokens: 1, prompt: 1, completion: 0, cost: 1n };
    const user = (n: number) => `${n}${"\u{1F600}".repeat(100)}`;
    const parts = Array.from({ length: 100 }, (_, n) => ({ keys: { user: user(n), model: "m", provider: "p" }, sums }));
    const made = rollup(parts.map((part) => ({ ...part, malformed: 0 })));
    const { folded } = toDocuments(made, { ...WIDE, maxBytes: 20_000 });
    expect(Buffer.byteLength(folded.user)).toBeLessThanOrEqual(20_000);
    expect(foldedKeys(folded.user).length).toBeGreaterThan(30);
  });

  test("of exactly the limit in bytes are whole, and one byte less folds or omits", () => {
    const parts = Array.from({ length: 20 }, (_, n) => ({
      keys: { user: `é\u{1F600}${n}`, model: "gpt-4o", provider: "openai" },
      sums: { requests: 1, tokens: 10 + n, prompt: 10, completion: n, cost: 10n ** 17n },
      malformed: 0,
    }));
    const made = rollup(parts);
    const full = toDocuments(made, WIDE);
    const [raw, user] = [Buffer.byteLength(full.raw), Buffer.byteLength(full.folded.user)];
    expect([raw, user]).not.toEqual([full.raw.length, full.folded.user.length]);
    expect(toDocuments(made, { ...WIDE, maxBytes: raw }).raw).toBe(full.raw);
    expect(toDocuments(made, { ...WIDE, maxBytes: raw - 1 }).raw).toMatch(/"rows":null,"omitted":20}$/);
    expect(toDocuments(made, { ...WIDE, maxBytes: user }).folded.user).toBe(full.folded.user);
    expect(foldedKeys(toDocuments(made, { ...WIDE, maxBytes: user - 1 }).folded.user)).toContain(OTHER_KEY);
    expect(toDocuments(made, { ...WIDE, maxKeys: 20 }).folded.user).toBe(full.folded.user);
    expect(foldedKeys(toDocuments(made, { ...WIDE, maxKeys: 19 }).folded.user)).toHaveLength(19);
    expect(toDocuments(made, { ...WIDE, maxRawRows: 20 }).raw).toBe(full.raw);
    expect(plain(parseLossless(toDocuments(made, { ...WIDE, maxRawRows: 19 }).raw))).toEqual([
      ["version", "1"],
      ["columns", COLUMNS],
      ["rows", null],
      ["omitted", "20"],
    ]);
  });
});

describe("the content hash", () => {
  test("is SHA-256 over what the row stores, in the order of key bytes", () => {
    const sums = { requests: 2, tokens: 2n ** 60n, prompt: 3, completion: 0, cost: 15n * 10n ** 17n };
    const made = rollup([
      { keys: { user: "\u{10000}", model: "m", provider: "p" }, sums, malformed: 1 },
      { keys: { user: "\uFFFF", model: "m", provider: "p" }, sums, malformed: 0 },
    ]);
    const one = "2\x001152921504606846976\x003\x000\x001.5\n";
    const both = "4\x002305843009213693952\x006\x000\x003\n";
    const text =
      `1\x004\x002305843009213693952\x006\x000\x003\x001\n` +
      `user\x002\n\uFFFF\0${one}\u{10000}\0${one}` +
      `model\x001\nm\0${both}provider\x001\np\0${both}`;
    const rows = `raw\x002\n\uFFFF\0m\0p\0${one}\u{10000}\0m\0p\0${one}`;
    const sha = (input: string) => createHash("sha256").update(input).digest("hex");
    expect(hash(made)).toBe(sha(text + rows));
    expect(hash(made, { ...WIDE, maxRawRows: 1 })).toBe(sha(`${text}omitted\x002\n`));
  });

  test("does not depend on the order of groups", () => {
    holds(
      fc.property(
        groups.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        fc.record({
          maxKeys: fc.integer({ min: 2, max: 20 }),
          maxRawRows: fc.nat(20),
          maxBytes: fc.integer({ min: 1_500, max: 9_000 }),
        }),
        ([list, shuffled], limits) => {
          expect(toDocuments(rollup(shuffled), limits)).toEqual(toDocuments(rollup(list), limits));
        },
      ),
    );
  });

  test("changes with every value, every key and every row", () => {
    holds(
      fc.property(groups, (parts) => {
        const made = rollup(parts);
        const changed = [...changes(made)];
        const hashes = new Set([hash(made), ...changed.map((one) => hash(one))]);
        expect(hashes.size).toBe(changed.length + 1);
      }),
      30,
    );
  });

  test("covers of omitted rows their number alone", () => {
    const omitting = { ...WIDE, maxRawRows: 0 };
    const sums = { requests: 1, tokens: 1, prompt: 1, completion: 0, cost: 1n };
    const day = (...tuples: [string, string][]) =>
      rollup(tuples.map(([user, model]) => ({ keys: { user, model, provider: "p" }, sums, malformed: 0 })));
    const one = day(["a", "x"], ["b", "y"]);
    const other = day(["a", "y"], ["b", "x"]);
    expect(hash(one)).not.toBe(hash(other));
    expect(hash(one, omitting)).toBe(hash(other, omitting));
    expect(hash({ ...one, rows: [...one.rows, ...other.rows] }, omitting)).not.toBe(hash(one, omitting));
    expect(hash({ ...one, rows: [] })).not.toBe(hash({ ...one, rows: [] }, { ...omitting, maxRawRows: -1 }));
  });
});

/** Every rollup that differs from this one in a single stored value. */
function* changes(made: Rollup): Generator<Rollup> {
  const fields = Object.keys(made.totals) as (keyof Measures)[];
  const raised = (sums: Measures, field: keyof Measures): Measures => ({ ...sums, [field]: BigInt(sums[field]) + 1n });
  const replaced = <T>(list: readonly T[], at: number, value: T) => list.with(at, value);
  for (const field of fields) yield { ...made, totals: raised(made.totals, field) };
  yield { ...made, malformed: BigInt(made.malformed) + 1n };
  for (const { name } of DIMENSIONS) {
    const list = made.folded[name];
    const withList = (folded: Rollup["folded"]["user"]) => ({ ...made, folded: { ...made.folded, [name]: folded } });
    for (const [at, entry] of list.entries()) {
      for (const field of fields) yield withList(replaced(list, at, { ...entry, sums: raised(entry.sums, field) }));
      yield withList(replaced(list, at, { ...entry, key: `${entry.key}\n` }));
      yield withList(list.toSpliced(at, 1));
    }
  }
  for (const [at, row] of made.rows.entries()) {
    for (const field of fields)
      yield { ...made, rows: replaced(made.rows, at, { ...row, sums: raised(row.sums, field) }) };
    for (const { name } of DIMENSIONS) {
      const keys = { ...row.keys, [name]: `${row.keys[name]}\n` };
      yield { ...made, rows: replaced(made.rows, at, { ...row, keys }) };
    }
    yield { ...made, rows: made.rows.toSpliced(at, 1) };
  }
}
