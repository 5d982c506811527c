/**
 * Reads SQL of a manifest as far as it takes to tell whether it is one expression: quotes, comments and parentheses, by
 * the lexical rules of PostgreSQL with `standard_conforming_strings` on, which the keeper's connections set. Pure.
 */

interface Token {
  /** `open`: a quote or comment that never ends */
  readonly kind: "quoted" | "line comment" | "comment" | "open" | "word" | "other";
  readonly text: string;
}

const LINE_COMMENT = /--[^\n\r]*/y;
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const PARAMETER = /\$\d+/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const PLAIN = /'(?:[^']|'')*'/y;
const ESCAPED = /(?:[eE])?'(?:[^'\\]|\\[\s\S]|'')*'/y;
const NAME = /"(?:[^"]|"")*"/y;
/** Between the parts of a string constant that is continued on another line. */
const CONTINUED = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:\s|--[^\n\r]*[\n\r])*(?=')/y;

/** All of the text, in order. */
function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < sql.length;) {
    const token = tokenAt(sql, at);
    tokens.push(token);
    at += token.text.length;
  }
  return tokens;
}

function tokenAt(sql: string, at: number): Token {
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at;
    return pattern.exec(sql)?.[0];
  };
  const rest = (): Token => ({ kind: "open", text: sql.slice(at) });
  const quoted = (text: string | undefined): Token => (text === undefined ? rest() : { kind: "quoted", text });
  const two = sql.slice(at, at + 2);
  if (two === "--") return { kind: "line comment", text: match(LINE_COMMENT) ?? two };
  if (two === "/*") {
    const text = blockComment(sql, at);
    return text === undefined ? rest() : { kind: "comment", text };
  }
  if (/^[eE]'/.test(two)) return quoted(escapedString(sql, at));
  const word = match(WORD);
  if (word !== undefined) return { kind: "word", text: word };
  const [first = ""] = two;
  if (first === "'") return quoted(match(PLAIN));
  if (first === '"') return quoted(match(NAME));
  const dollar = match(DOLLAR);
  if (dollar !== undefined) {
    const end = sql.indexOf(dollar, at + dollar.length);
    return quoted(end === -1 ? undefined : sql.slice(at, end + dollar.length));
  }
  return { kind: "other", text: match(PARAMETER) ?? first };
}

/** With the parts that follow on other lines, in which a backslash escapes too. */
function escapedString(sql: string, from: number): string | undefined {
  for (let at = from; ;) {
    ESCAPED.lastIndex = at;
    const part = ESCAPED.exec(sql)?.[0];
    if (part === undefined) return undefined;
    at += part.length;
    CONTINUED.lastIndex = at;
    const between = CONTINUED.exec(sql)?.[0];
    if (between === undefined) return sql.slice(from, at);
    at += between.length;
  }
}

/** Comments in comments have an end each. */
function blockComment(sql: string, from: number): string | undefined {
  let depth = 0;
  for (let at = from; at < sql.length - 1;) {
    const two = sql.slice(at, at + 2);
    if (two === "/*") depth += 1;
    if (two === "*/") depth -= 1;
    at += two === "/*" || two === "*/" ? 2 : 1;
    if (depth === 0) return sql.slice(from, at);
  }
  return undefined;
}

/** The text without comments and quoted text, each of which leaves a space; text that is not closed is left out. */
export function withoutQuoted(sql: string): string {
  return tokensOf(sql)
    .map(({ kind, text }) => (kind === "word" || kind === "other" ? text : " "))
    .join("");
}

/** Why the text cannot be one SQL expression; undefined if in parentheses it can be nothing else. */
export function expressionFault(text: string): string | undefined {
  if (text.includes("\0")) return "it contains a NUL character";
  const tokens = tokensOf(text);
  if (tokens.some(({ kind }) => kind === "open")) return "it has a quote or a comment that does not end";
  let depth = 0;
  for (const { kind, text: part } of tokens) {
    if (kind !== "other") continue;
    if (part === ";") return "it is more than one expression: a semicolon ends a statement";
    if (part === "(") depth += 1;
    if (part === ")") depth -= 1;
    if (depth < 0) break;
  }
  if (depth !== 0) return "its parentheses do not match";
  return withoutQuoted(text).trim() === "" && !tokens.some(({ kind }) => kind === "quoted") ? "it is empty" : undefined;
}

/** The expression in parentheses of its own. A comment at its end must not swallow the closing one. */
export function parenthesised(expression: string): string {
  const isCommented = tokensOf(expression).at(-1)?.kind === "line comment";
  return `(${expression}${isCommented ? "\n" : ""})`;
}

const PART = /^(?:[A-Za-z_][\w$]*|"(?:[^"\0]|"")+")$/;
const OPCLASS =
  /^\s*((?:[A-Za-z_][\w$]*|"(?:[^"]|"")+")(?:\.(?:[A-Za-z_][\w$]*|"(?:[^"]|"")+"))?)\s*(?:\(([^()]*)\))?\s*$/;
const PARAMETERS = /^\s*([A-Za-z_]\w*)\s*=\s*(-?\d+(?:\.\d+)?|[A-Za-z_]\w*|'[^'\\]*')\s*$/;

/** An operator class: its name in quotes, and its parameters as name and value. */
export interface Opclass {
  readonly name: string;
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** Reads `text_pattern_ops`, `public.gist_trgm_ops (siglen = 32)`; undefined for anything else. */
export function parseOpclass(text: string): Opclass | undefined {
  const [, path = "", inside] = OPCLASS.exec(text) ?? [];
  const parts = path.match(/"(?:[^"]|"")+"|[^.]+/g) ?? [];
  if (parts.length === 0 || !parts.every((part) => PART.test(part))) return undefined;
  const parameters = (inside ?? "").split(",").map((one) => PARAMETERS.exec(one));
  if (inside !== undefined && !parameters.every((one) => one !== null)) return undefined;
  return {
    // As the server reads a name without quotes. In quotes no keyword, such as DESC, is taken for another clause.
    name: parts.map((part) => (part.startsWith('"') ? part : `"${part.toLowerCase()}"`)).join("."),
    parameters: inside === undefined ? [] : parameters.map((one): [string, string] => [one?.[1] ?? "", one?.[2] ?? ""]),
  };
}
