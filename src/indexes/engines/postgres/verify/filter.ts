/** What a filter, as PostgreSQL writes it into a plan, tells of an index that it does not use. Pure. */

/** An index of the table as its catalog has it. */
export interface TableIndex {
  readonly name: string;
  readonly valid: boolean;
  /** It lacks old versions of some rows, so that transactions that began before it was built may not use it. */
  readonly isWaiting: boolean;
  /** everything of its definition after the table's name */
  readonly tail: string;
  /** as the server writes it; null for a whole index */
  readonly predicate: string | null;
  readonly method: string;
  /** its key columns as the server writes them */
  readonly keys: readonly string[];
  /** the collation of the first key, and that of the column it is; null for types that have none */
  readonly collation: string | null;
  readonly columnCollation: string | null;
}

const TOKENS = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\bAND\b|[()[\]]|\w+|[\s\S]/g;

/** The terms of a predicate as the server writes it, `((a = 1) AND (b > 2))`; what stands in quotes stays whole. */
export function conjunctsOf(predicate: string): string[] {
  const text = predicate.trim();
  const terms = [""];
  let depth = 0;
  // Outer parentheses are dropped where they close at the very end.
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

/** Types whose casts the server adds by itself and whose comparisons an index serves all the same. */
const SAME_AS_TEXT = /^(text|bpchar|character varying|name)\b/;

/**
 * Why an index, whose predicate is no obstacle, is of no use to this filter.
 * @param columns of the table, by name, with their types
 */
export function filterReasons(filter: string, index: TableIndex, columns: ReadonlyMap<string, string>): string[] {
  const [first = ""] = index.keys;
  const compared = comparedColumns(filter, index, columns);
  if (compared.length === 0) {
    return [
      `the query compares nothing with the index's first column, ${first}: write one that leads with what it compares`,
    ];
  }
  for (const column of compared) {
    const type = columns.get(column) ?? "";
    const [, cast] = new RegExp(`\\(${qualified(column)}\\)::([a-z][a-z ]*)`).exec(filter) ?? [];
    // A column cast to its own type is one that is compared under another collation.
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
    return [`${index.method} serves no such condition on ${first}: ${shortened(filter)}`];
  }
  return [`no condition on ${first} is one that the index can look up: ${shortened(filter)}`];
}

/** The columns of the index's first key, which may be an expression of several, that a condition speaks of. */
export function comparedColumns(
  condition: string,
  { keys: [first = ""] }: Pick<TableIndex, "keys">,
  columns: ReadonlyMap<string, string>,
): string[] {
  return [...columns.keys()].filter((column) => mentions(first, column) && mentions(condition, column));
}

function otherCollation(key: string, ofIndex: string | null, ofQuery: string | undefined): string {
  const under = ofQuery === undefined ? "another one" : `"${ofQuery}"`;
  return `the collation differs: the index has ${key} under "${ofIndex ?? ""}", the query compares it under ${under}`;
}

function mentions(text: string, column: string): boolean {
  return new RegExp(`(^|[^\\w"])${qualified(column)}($|[^\\w"])`).test(text);
}

/** The column as the server writes it, quoted where it must be, with the table's alias or without. */
function qualified(column: string): string {
  const plain = column.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return `(?:(?:\\w+|"(?:[^"]|"")*")\\.)?(?:${plain}|"${plain}")`;
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
