import fc from "fast-check";

/** What a terminal obeys or hides, written out by range so that it shares no code with what escapes it. */
const RANGES: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x600, 0x605],
  [0x61c, 0x61c],
  [0x6dd, 0x6dd],
  [0x70f, 0x70f],
  [0x180e, 0x180e],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0xd800, 0xdfff],
  [0xfeff, 0xfeff],
  [0xfff9, 0xfffb],
  [0xfffe, 0xffff],
  [0x110bd, 0x110bd],
  [0x1bca0, 0x1bca3],
  [0x1d173, 0x1d17a],
  [0xe0001, 0xe0001],
  [0xe0020, 0xe007f],
  [0x10fffe, 0x10ffff],
];

/** The unprintable characters of a text but line breaks, as hexadecimal numbers. */
export function unprintableIn(text: string): string[] {
  return Array.from(text, (character) => character.codePointAt(0) as number)
    .filter((code) => code !== 0x0a && RANGES.some(([first, last]) => code >= first && code <= last))
    .map((code) => code.toString(16));
}

/** What forges lines or clears a screen, as found in the wild. */
export const HOSTILE_TEXTS: readonly string[] = [
  "a\x1b[2J\x1b[Hb",
  "a\r\nforged  2026-03-01  final",
  "a\nb\n\nc",
  "bell\x07",
  "\x1b]8;;https://example.com\x07click\x1b]8;;\x07",
  "\x1b]0;title\x1b\\",
  "\u009b2J\u0085next",
  "\u202egnp.exe\u202c",
  "\u2066isolate\u2069",
  "\u200fright\u200e",
  "zero\u200bwidth\ufeff",
  "sep\u2028para\u2029end",
  "soft\u00adhyphen",
  "tag\u{e0001}\u{e0041}",
  "back\bspace\x7f\t\v\f",
  "non\u{10ffff}character",
];

/** Any text that PostgreSQL can hold: every code point but NUL and halves of characters. */
export const storableText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...HOSTILE_TEXTS),
  fc.string({ unit: "binary", minLength: 1, maxLength: 30 }).filter((text) => !text.includes("\0")),
  fc
    .array(fc.constantFrom(...HOSTILE_TEXTS.join("").replaceAll("\0", "")), { minLength: 1, maxLength: 12 })
    .map((letters) => letters.join("").replace(/\p{Cs}/gu, "x")),
);

/** Any sequence of UTF-16 units, halves of characters included. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  storableText,
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
  fc.array(fc.integer({ min: 0xd7f0, max: 0xe010 }), { maxLength: 6 }).map((units) => String.fromCharCode(...units)),
);
