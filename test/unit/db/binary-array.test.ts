import fc from "fast-check";
import { expect, test } from "vitest";
import { holds } from "../../support/property.ts";
import { jsonbArray } from "../../../src/db/postgres/cache/binary-array.ts";

/** Reads the wire form of an array as PostgreSQL's array_recv does. */
function decode(buffer: Buffer): {
  dimensions: number;
  nulls: number;
  oid: number;
  lowerBound: number;
  texts: string[];
} {
  let at = 0;
  const int = () => buffer.readInt32BE((at += 4) - 4);
  const [dimensions, nulls, oid, count, lowerBound] = [int(), int(), int(), int(), int()];
  const texts = Array.from({ length: count }, () => {
    const length = int();
    expect(buffer[at]).toBe(1); // the version of jsonb's wire form
    const text = buffer.toString("utf8", at + 1, at + length);
    at += length;
    return text;
  });
  expect(at).toBe(buffer.length);
  return { dimensions, nulls, oid, lowerBound, texts };
}

test("the bytes decode to the texts", () => {
  holds(
    fc.property(
      fc.array(fc.oneof(fc.json({ maxDepth: 2 }), fc.string({ unit: "binary" })), { maxLength: 10 }),
      (texts) => {
        expect(decode(jsonbArray(texts))).toEqual({ dimensions: 1, nulls: 0, oid: 3802, lowerBound: 1, texts });
      },
    ),
  );
});

test("the bytes of an array without elements, and of empty texts, decode to them", () => {
  expect(decode(jsonbArray([])).texts).toEqual([]);
  expect(decode(jsonbArray(["", ""])).texts).toEqual(["", ""]);
});
