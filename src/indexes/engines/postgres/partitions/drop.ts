/**
 * Drops an index of a partitioned table. PostgreSQL cannot do that concurrently: the indexes of all partitions go with
 * it in one moment, in which nobody may use any of the tables. A partition's index that was there before the keeper
 * attached it gets a copy first, built concurrently, which takes its name in that same moment.
 */
import { REPLACEMENT } from "../../../manifest/reserved.ts";
import pg from "pg";
import { runBriefly, type BriefOptions } from "../brief.ts";
import {
  commentStatement,
  inheritStatements,
  isFoundHere,
  withFoundHere,
  type Belongings,
  BELONGINGS,
} from "../belongings.ts";
import { besideName, createStatement, dropStatement, qualified, tableOf, type Definition } from "../ddl.ts";
import type { IndexSession } from "../session.ts";
import type { TreeIndex } from "./names.ts";

export interface TreeTools extends BriefOptions {
  readonly session: IndexSession;
  /** runs one statement concurrently, outside any transaction; a tablespace of "" is the default one */
  readonly run: (label: string, statement: string, tablespace?: string) => Promise<void>;
}

interface Attached extends Definition {
  readonly schema: string;
  readonly table: string;
  readonly name: string;
  readonly comment: string | null;
  readonly belongings: Belongings;
}

/** Succeeds if the index does not exist. */
export async function dropTree(tools: TreeTools, { target, name }: Pick<TreeIndex, "target" | "name">): Promise<void> {
  const { session, run } = tools;
  const { schema, table } = tableOf(target);
  const attached = await session.query<Attached>(ATTACHED, [schema, table, name]);
  const kept = attached.filter(({ comment }) => isFoundHere(comment));
  const label = `${target} ${name} (dropping)`;
  for (const one of kept) {
    const [of, copy] = [`${one.schema}.${one.table}`, copyName(one.name)];
    const [there] = await session.query<Definition & { valid: boolean }>(NAMED, [one.schema, copy]);
    if (there?.valid === true && there.tail === one.tail && there.unique === one.unique) continue;
    if (there) await run(label, dropStatement(of, copy));
    await run(`${label}: ${one.name} stays`, createStatement(of, copy, one), one.belongings.tablespace ?? "");
  }
  const statements = [`DROP INDEX IF EXISTS ${qualified(schema, name)}`];
  for (const { schema: of, name: own, comment, belongings } of kept) {
    const copy = copyName(own);
    const { comment: _comment, ...others } = belongings;
    statements.push(
      ...(await inheritStatements(session, of, copy, others, "as it was")),
      commentStatement(qualified(of, copy), withFoundHere(comment, false)),
      `ALTER INDEX ${qualified(of, copy)} RENAME TO ${pg.escapeIdentifier(own)}`,
    );
  }
  await runBriefly(session, label, statements, tools);
}

function copyName(name: string): string {
  return besideName(name, REPLACEMENT);
}

const TAIL = `
  CROSS JOIN LATERAL (SELECT pg_get_indexdef(c.oid) AS def,
    format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, tn.nspname, t.relname) AS head) d`;

const NAMED = `
  SELECT i.indisunique AS unique, i.indisvalid AS valid, substr(d.def, length(d.head) + 1) AS tail
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace tn ON tn.oid = t.relnamespace ${TAIL}
   WHERE tn.nspname = $1 AND c.relname = $2`;

const ATTACHED = `
  SELECT tn.nspname AS schema, t.relname AS table, c.relname AS name, i.indisunique AS unique,
         obj_description(c.oid, 'pg_class') AS comment, substr(d.def, length(d.head) + 1) AS tail, ${BELONGINGS} AS belongings
    FROM pg_class top JOIN pg_namespace n ON n.oid = top.relnamespace
    JOIN pg_index topi ON topi.indexrelid = top.oid JOIN pg_class whole ON whole.oid = topi.indrelid
   CROSS JOIN LATERAL pg_partition_tree(top.oid) x
    JOIN pg_index i ON i.indexrelid = x.relid JOIN pg_class c ON c.oid = x.relid AND c.relkind = 'i'
    JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace ${TAIL}
   WHERE n.nspname = $1 AND whole.relname = $2 AND top.relname = $3`;
