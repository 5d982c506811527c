/**
 * Gives a partitioned table an index, one step at a time, and looks at the tree again after each: a partition may come or
 * go meanwhile, and an earlier process may have died after any step.
 */
import pg from "pg";
import { runBriefly } from "../brief.ts";
import { inheritStatements, type FormerPartition, type Inheritance } from "../belongings.ts";
import { qualified } from "../ddl.ts";
import type { IndexSession } from "../session.ts";
import { dropTree, type TreeTools } from "./drop.ts";
import { looseName, type TreeIndex } from "./names.ts";
import { recheckStatements, stepsFor, type Step } from "./steps.ts";
import { readTree } from "./tree.ts";

/** The indexes whose place the new ones take, by `schema.table`. */
export interface FormerParts {
  readonly parts: ReadonlyMap<string, FormerPartition>;
  readonly how: Inheritance;
}

const NOTHING_FORMER: FormerParts = { parts: new Map(), how: "successor" };
/** How often it begins again where the server does not call the finished index valid. */
const MAX_ROUNDS = 3;

/** @throws the server's error; what is built by then stays, for the next call */
export async function buildTree(tools: TreeTools, index: TreeIndex, former = NOTHING_FORMER): Promise<void> {
  const { session } = tools;
  const known = new Map<string, boolean>();
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    for (;;) {
      const [step] = stepsFor(index, await readTree(session, index, known), former.parts);
      if (!step) break;
      await perform(tools, index, step, former);
    }
    if (await isWhole(tools, index, known)) return sweepLoose(tools, index);
    await dropTree(tools, index);
  }
  throw new Error(`every partition of ${index.target} has its index, and yet the server calls ${index.name} invalid`);
}

async function isWhole(tools: TreeTools, index: TreeIndex, known: Map<string, boolean>): Promise<boolean> {
  const parts = await readTree(tools.session, index, known);
  if (parts[0]?.attached?.valid === true) return true;
  const statements = recheckStatements(parts);
  if (statements.length > 0) await runBriefly(tools.session, index.name, statements, tools);
  const [root] = await readTree(tools.session, index, known);
  return root?.attached?.valid === true;
}

async function perform(tools: TreeTools, index: TreeIndex, step: Step, { how }: FormerParts): Promise<void> {
  const { session } = tools;
  const label = `${index.target} ${step.label}`;
  try {
    if (!step.isBrief) {
      for (const statement of step.statements) await tools.run(label, statement, step.former?.tablespace ?? "");
      return;
    }
    await runBriefly(session, label, step.statements, tools, async () => {
      const { former, heir } = step;
      if (!former || heir === undefined) return [];
      return inheritStatements(session, step.table.slice(0, step.table.indexOf(".")), heir, former, how);
    });
  } catch (error) {
    // A step of a partition that was dropped or detached meanwhile is void.
    if (session.lost || !(error instanceof pg.DatabaseError) || (await isPart(session, index, step))) throw error;
  }
}

async function isPart(session: IndexSession, { target }: TreeIndex, { table }: Step): Promise<boolean> {
  const rows = await session.query(IS_PART, [target, table]);
  return rows.length > 0;
}

/** Drops what an interrupted build left: indexes that are attached to nothing, also of partitions detached by now. */
export async function sweepLoose(tools: TreeTools, index: Pick<TreeIndex, "target" | "name">): Promise<void> {
  const rows = await tools.session.query<{ schema: string; table: string; name: string }>(LOOSE);
  for (const { schema, table, name } of rows) {
    if (name !== looseName(index, schema, table)) continue;
    await tools.run(
      `${index.target} ${index.name} (dropping a leftover)`,
      `DROP INDEX CONCURRENTLY IF EXISTS ${qualified(schema, name)}`,
    );
  }
}

const IS_PART = `
  SELECT FROM (SELECT c.oid, format('%s.%s', n.nspname, c.relname) AS name
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')) t
    JOIN (SELECT c.oid, format('%s.%s', n.nspname, c.relname) AS name
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'p') whole ON whole.name = $1
   CROSS JOIN LATERAL pg_partition_tree(whole.oid) x
   WHERE t.name = $2 AND x.relid = t.oid`;

const LOOSE = `
  SELECT n.nspname AS schema, t.relname AS table, c.relname AS name
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relname LIKE '%\\_\\_tallyman\\_new' AND c.relkind = 'i'
     AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)`;
