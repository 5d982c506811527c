/** A JSON number as it was written: a JS number would hide trailing zeros, exponents and digits past 2^53. */
export class JsonNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Objects are Maps, so that `__proto__` is a key like any other and the order of keys is kept. */
export type Json = null | boolean | string | JsonNumber | Json[] | Map<string, Json>;

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// eslint-disable-next-line no-control-regex -- JSON forbids raw control characters in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;

/** Reads one JSON document; throws a SyntaxError with the offset on anything malformed, and on a repeated key. */
export function parseLossless(text: string): Json {
  let at = 0;

  function take(pattern: RegExp): string | undefined {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  }
  function fail(expected: string): never {
    throw new SyntaxError(`expected ${expected} at offset ${at}: ${JSON.stringify(text.slice(at, at + 20))}`);
  }
  /** Whether the next token is this punctuation mark; takes it if so. */
  function skip(mark: string): boolean {
    take(SPACE);
    if (text[at] !== mark) return false;
    at += 1;
    return true;
  }
  function string(): string {
    take(SPACE);
    return JSON.parse(take(STRING) ?? fail("a string")) as string;
  }
  function value(): Json {
    take(SPACE);
    const start = text[at];
    if (start === '"') return string();
    if (start === "[") return array();
    if (start === "{") return object();
    const word = take(WORD);
    if (word !== undefined) return word === "null" ? null : word === "true";
    return new JsonNumber(take(NUMBER) ?? fail("a value"));
  }
  function array(): Json[] {
    const items: Json[] = [];
    skip("[");
    if (skip("]")) return items;
    do items.push(value());
    while (skip(","));
    return skip("]") ? items : fail('"," or "]"');
  }
  function object(): Map<string, Json> {
    const members = new Map<string, Json>();
    skip("{");
    if (skip("}")) return members;
    do {
      const key = string();
      if (members.has(key)) fail(`no second key ${JSON.stringify(key)}`);
      if (!skip(":")) fail('":"');
      members.set(key, value());
    } while (skip(","));
    return skip("}") ? members : fail('"," or "}"');
  }

  const result = value();
  take(SPACE);
  return at === text.length ? result : fail("the end");
}
