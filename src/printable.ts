/**
 * Characters that a terminal obeys, that reorder or break a line, or that nobody can see: controls (Cc), formats such as
 * marks of direction (Cf), halves of a character (Cs), separators of lines and paragraphs, and code points that no
 * version of Unicode has given a meaning yet (Cn).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** The short escapes that people know. */
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Text as one line for a terminal: every unprintable character is an escape, as in JSON. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => SHORT[character] ?? escapeUnits(character));
}

/**
 * JSON whose strings hold the same escapes; parsed, it has the same value. Line breaks between its parts stay, since JSON
 * has none within a string.
 */
export function printableJson(json: string): string {
  return json.replace(UNPRINTABLE, (character) => (character === "\n" ? character : escapeUnits(character)));
}

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
  }).join("");
}
