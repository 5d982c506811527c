import fc from "fast-check";
import { expect, test } from "vitest";
import { besideName } from "../../../src/indexes/engines/postgres/ddl.ts";
import { REPLACED, REPLACEMENT } from "../../../src/indexes/manifest/reserved.ts";
import { holds } from "../../support/property.ts";

const name = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => Buffer.byteLength(text) <= 63);

test("a temporary name fits into 63 bytes, cuts no letter in half, and differs from the index's name", () => {
  holds(
    fc.property(name, name, (one, two) => {
      const beside = besideName(one, REPLACEMENT);
      expect(Buffer.byteLength(beside)).toBeLessThanOrEqual(63);
      expect(beside.endsWith(REPLACEMENT)).toBe(true);
      expect(Buffer.from(beside).toString()).toBe(beside);
      expect(beside).not.toBe(besideName(one, REPLACED));
      expect(besideName(two, REPLACEMENT) === beside).toBe(one === two);
    }),
  );
  expect(besideName("by_day", REPLACEMENT)).toBe("by_day__tallyman_new");
});

test("long names that begin alike have different temporary names", () => {
  const [a, b] = ["a", "b"].map((end) => besideName("y".repeat(62) + end, REPLACEMENT));
  expect(a).not.toBe(b);
  expect(besideName("🗂".repeat(15), REPLACED)).toMatch(/^(🗂)+_[0-9a-f]{6}__tallyman_old$/u);
});
