/** Finds out from the filter in a PostgreSQL plan why it does not use an index. Pure. */

/** An index of the table, from the catalog. */
export interface TableIndex {
  readonly name: string;
  readonly valid: boolean;
  /** It lacks old versions of some rows, so transactions that began before it was built may not use it. */
  readonly isWaiting: boolean;
  /** the part of its definition after the table's name */
  readonly tail: string;
  /** in the server's text; null if the index is not partial */
  readonly predicate: string | null;
  readonly method: string;
  /** its key columns in the server's text */
  readonly keys: readonly string[];
  /** the collation of the first key, and below that of its column; null for types without a collation */
  readonly collation: string | null;
  readonly columnCollation: string | null;
}

const TOKENS = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\bAND\b|[()[\]]|\w+|[\s\S]/g;

/** The terms of a predicate in the server's text, `((a = 1) AND (b > 2))`. Quoted text is not split. */
export function conjunctsOf(predicate: string): string[] {
  const text = predicate.trim();
  const terms = [""];
  let depth = 0;
  // True while the first parenthesis closes at the very end, so that both can be removed.
  let isWrapped = text.startsWith("(");
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (token === "(" || token === "[") depth += 1;
    if (token === ")" || token === "]") depth -= 1;
    if (depth === 0 && index + token.length < text.length) isWrapped = false;
    if (depth === 0 && token === "AND") terms.push("");
    else terms[terms.length - 1] += token;
  }
  if (isWrapped) return conjunctsOf(text.slice(1, -1));
  return terms.length === 1 ? [text] : terms.flatMap(conjunctsOf);
}

/** The server adds casts to these types itself; an index on text still serves the comparison. */
const SAME_AS_TEXT = /^(text|bpchar|character varying|name)\b/;

/**
 * Why this filter cannot use the index, whose predicate is not the reason.
 * @param columns types of the table's columns, by name
 */
export function filterReasons(filter: string, index: TableIndex, columns: ReadonlyMap<string, string>): string[] {
  const [first = ""] = index.keys;
  const compared = comparedColumns(filter, index, columns);
  if (compared.length === 0) {
    return [
      `the query compares nothing with the index's first column, ${first}: declare an index that begins with a column it compares`,
    ];
  }
  for (const column of compared) {
    const type = columns.get(column) ?? "";
    const [, cast] = new RegExp(`\\(${qualified(column)}\\)::([a-z][a-z ]*)`).exec(filter) ?? [];
    // The server casts a column to its own type where the query compares it under another collation.
    if (cast !== undefined && cast.trim() === type) return [otherCollation(first, index.collation, undefined)];
    if (cast !== undefined && !SAME_AS_TEXT.test(cast)) {
      return [
        `the value has the wrong type: ${column} is ${type} and is compared as ${cast.trim()}; give it as ${type}`,
      ];
    }
  }
  const collated = /COLLATE ("(?:[^"]|"")*"|\w+)/.exec(filter)?.[1]?.replace(/^"|"$/g, "");
  const comparesUnder = collated ?? index.columnCollation;
  if (index.collation !== null && comparesUnder !== null && comparesUnder !== index.collation) {
    return [otherCollation(first, index.collation, comparesUnder)];
  }
  if (/~~\*? /.test(filter) && index.collation !== "C" && index.collation !== "POSIX") {
    return [
      `LIKE goes through an index only in the "C" collation or with text_pattern_ops; ${first} is under "${index.collation ?? ""}"`,
    ];
  }
  if (index.method !== "btree") {
    return [`a ${index.method} index cannot serve this condition on ${first}: ${shortened(filter)}`];
  }
  return [`the index cannot look up any condition on ${first}: ${shortened(filter)}`];
}

/** The columns of the index's first key (several, if it is an expression) that occur in the condition. */
export function comparedColumns(
  condition: string,
  { keys: [first = ""] }: Pick<TableIndex, "keys">,
  columns: ReadonlyMap<string, string>,
): string[] {
  return [...columns.keys()].filter((column) => mentions(first, column) && mentions(condition, column));
}

function otherCollation(key: string, ofIndex: string | null, ofQuery: string | undefined): string {
  const under = ofQuery === undefined ? "another collation" : `"${ofQuery}"`;
  return `the collation differs: the index has ${key} under "${ofIndex ?? ""}", the query compares it under ${under}`;
}

function mentions(text: string, column: string): boolean {
  return new RegExp(`(^|[^\\w"])${qualified(column)}($|[^\\w"])`).test(text);
}

/** A pattern for the column in the server's text: with or without quotes, with or without an alias. */
function qualified(column: string): string {
  const plain = column.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return `(?:(?:\\w+|"(?:[^"]|"")*")\\.)?(?:${plain}|"${plain}")`;
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
