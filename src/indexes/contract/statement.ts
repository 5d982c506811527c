/** Checks that the SQL of a contract is one statement that only reads. Pure. */
import { withoutQuoted } from "../manifest/sql-text.ts";

/**
 * Why the SQL cannot be a contract's query; undefined if it can. The server has the last word: the statement is sent
 * alone, prepared, in a read-only transaction.
 */
export function statementFault(sql: string): string | undefined {
  const bare = withoutQuoted(sql).trim().replace(/;\s*$/, "");
  if (bare.includes(";")) return "it is more than one statement";
  if (!/^\(*\s*(select|with)\b/i.test(bare)) return "it is no SELECT or WITH";
  if (/\b(insert\s+into|update\s[^()]*?\sset|delete\s+from|merge\s+into)\b/i.test(bare)) return "it writes";
  if (/\bfor\s+(no\s+key\s+)?(update|share|key\s+share)\b/i.test(bare)) return "it locks rows";
  return undefined;
}

/** The highest n among its parameters `$n`. */
export function parameterCount(sql: string): number {
  return Math.max(0, ...Array.from(withoutQuoted(sql).matchAll(/\$(\d+)/g), ([, n]) => Number(n)));
}
