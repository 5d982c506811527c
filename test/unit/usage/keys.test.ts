import fc from "fast-check";
import { expect, test } from "vitest";
import { cleanKey, compareKeys, sortKeys } from "../../../src/usage/keys.ts";
import { holds } from "../../support/property.ts";
import { bytesOrder, key } from "./arbitrary.ts";

/** All code points, with those around the surrogates often, and pairs with a common start. */
const unit = fc.oneof(
  fc.constantFrom("a", "b", "\0", "\u007F", "\u0080", "\u07FF", "\u0800", "\uD7FF", "\uE000", "\uFFFD", "\uFFFF"),
  fc.constantFrom("\u{10000}", "\u{103FF}", "\u{1F600}", "\u{10FC00}", "\u{10FFFF}"),
  fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
);
const text = fc.oneof(fc.string({ unit, maxLength: 6 }), key);

test("keys compare as their UTF-8 bytes do", () => {
  holds(
    fc.property(text, text, text, (start, a, b) => {
      expect(Math.sign(compareKeys(start + a, start + b))).toBe(bytesOrder(start + a, start + b));
    }),
    2_000,
  );
});

test("keys sort as their UTF-8 bytes do, with surrogates and without", () => {
  const plain = fc.string({ unit: fc.constantFrom("a", "b", "\0", "é", "\u0800", "\uD7FF"), maxLength: 6 });
  holds(
    fc.property(fc.oneof(fc.array(plain), fc.array(text)), (keys) => {
      expect(sortKeys([...keys])).toEqual([...keys].sort(bytesOrder));
    }),
    500,
  );
});

test("a clean key has U+FFFD for every NUL and is otherwise the same", () => {
  expect(cleanKey("\0a\0\0b")).toBe("\uFFFDa\uFFFD\uFFFDb");
  holds(
    fc.property(text, (any) => {
      expect(cleanKey(any)).toBe(any.split("\0").join("\uFFFD"));
      expect(cleanKey(cleanKey(any))).toBe(cleanKey(any));
    }),
  );
});
