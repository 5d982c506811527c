import { expect, test } from "vitest";
import { printable, printableJson } from "../../src/printable.ts";
import { holds } from "../support/property.ts";
import { anyText, HOSTILE_TEXTS, unprintableIn } from "../support/unprintable.ts";
import fc from "fast-check";

test("printable text is one line without a character that a terminal obeys or hides", () => {
  holds(
    fc.property(anyText, (text) => {
      const shown = printable(text);
      expect(unprintableIn(shown)).toEqual([]);
      expect(shown).not.toContain("\n");
    }),
    1_000,
  );
  for (const text of HOSTILE_TEXTS) expect(unprintableIn(printable(text)), JSON.stringify(text)).toEqual([]);
});

test("every other character stays as it is", () => {
  const plain = "Ümläut 名前 😀 ❤️ עברית العربية e\u0301 \\n a\\b \u00a0 \ue000";
  expect(printable(plain)).toBe(plain);
  expect(printable("a\x1b[2J\r\n\t\u202e\u{e0001}")).toBe("a\\u001b[2J\\r\\n\\t\\u202e\\udb40\\udc01");
});

test("every code point of the categories Cc, Cf, Cs, Cn, Zl and Zp is escaped, and no other", () => {
  const wrong: string[] = [];
  for (let code = 0; code <= 0x10ffff; code++) {
    const character = String.fromCodePoint(code);
    const isEscaped = printable(character) !== character;
    const isUnprintable = /^(\p{Cc}|\p{Cf}|\p{Cs}|\p{Cn}|\p{Zl}|\p{Zp})$/u.test(character);
    if (isEscaped !== isUnprintable) wrong.push(code.toString(16));
    if (!isEscaped && unprintableIn(character).length > 0 && code !== 0x0a) wrong.push(code.toString(16));
  }
  expect(wrong).toEqual([]);
});

test("printable JSON has the same value, keys included, and no unprintable character", () => {
  holds(
    fc.property(fc.dictionary(anyText, fc.array(anyText), { noNullPrototype: true }), (value) => {
      const json = printableJson(JSON.stringify(value));
      expect(unprintableIn(json)).toEqual([]);
      expect(json).not.toContain("\n");
      expect(JSON.parse(json)).toEqual(value);
    }),
    1_000,
  );
  expect(printableJson(JSON.stringify({ "\u009b": "\u202e\n" }, null, 1))).toBe('{\n "\\u009b": "\\u202e\\n"\n}');
});
