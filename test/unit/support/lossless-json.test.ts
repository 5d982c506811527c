import { describe, expect, test } from "vitest";
import { JsonNumber, parseLossless, type Json } from "../../support/lossless-json.ts";

const number = (text: string): Json => new JsonNumber(text);

describe("the lossless JSON reader", () => {
  test("keeps numbers as they were written", () => {
    const texts = ["0", "-0", "1.50", "9007199254740993", "1e+3", "123456789012345678901234567890.000000000000000001"];
    expect(parseLossless(` [${texts.join(" ,\n")}] `)).toEqual(texts.map(number));
  });

  test("reads every kind of value and does not take a text for a number", () => {
    expect(parseLossless('{"a": [true, false, null, "5", 5, {}, []]}')).toEqual(
      new Map([["a", [true, false, null, "5", number("5"), new Map(), []]]]),
    );
  });

  test("keeps keys that objects treat specially, in order", () => {
    const read = parseLossless('{"__proto__": {"constructor": 1}, "10": 2, "9": 3, "": 4}');
    expect(read).toEqual(
      new Map<string, Json>([
        ["__proto__", new Map([["constructor", number("1")]])],
        ["10", number("2")],
        ["9", number("3")],
        ["", number("4")],
      ]),
    );
    expect([...(read as Map<string, Json>).keys()]).toEqual(["__proto__", "10", "9", ""]);
  });

  test("reads escapes", () => {
    expect(parseLossless(String.raw`"\"\\\/\n\u0041\ud83d\ude00😀"`)).toBe('"\\/\nA😀😀');
  });

  test.each([
    "",
    "01",
    "1.",
    ".5",
    "+1",
    "NaN",
    "nul",
    "[1,]",
    "[1 2]",
    '{"a":1,}',
    '{"a" 1}',
    "{a:1}",
    '"\n"',
    '"a',
    String.raw`"\x"`,
    "1 2",
    "[",
    '{"a":1,"\\u0061":2}',
  ])("refuses %j", (text) => {
    expect(() => parseLossless(text)).toThrow(SyntaxError);
  });
});
