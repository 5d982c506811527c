/** Reserved keys of the folded documents. */

/** Key of events without a user, model or provider. */
export const UNKNOWN_KEY = "__unknown__";

/** Key of the exact remainder when a row has too many keys. */
export const OTHER_KEY = "__other__";

const NUL = /\0/g;

/** JSONB cannot hold NUL: it becomes U+FFFD, the character that stands for invalid UTF-8 too. */
export function cleanKey(text: string): string {
  return text.includes("\0") ? text.replace(NUL, "\uFFFD") : text;
}

/**
 * Orders keys by their UTF-8 bytes, the order of `collate "C"`. JS compares UTF-16 units, which puts a surrogate
 * (U+D800..DFFF, half of a code point past U+FFFF) before U+E000..FFFF; only there do the two orders differ.
 */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

const FROM_SURROGATES = /[\ud800-\uffff]/;

/** Sorts keys in place as compareKeys does, at native speed where no key has a unit from U+D800 on. */
export function sortKeys(keys: string[]): string[] {
  return keys.some((key) => FROM_SURROGATES.test(key)) ? keys.sort(compareKeys) : keys.sort();
}
