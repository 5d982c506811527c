/**
 * Finds out why PostgreSQL does not use an index for a query. Asks the planner itself, on an empty temporary clone of
 * the table with this index only: it proves whether the query implies the predicate, and no other index competes.
 */
import pg from "pg";
import type { Contract } from "../../../manifest/manifest.ts";
import { Explainer } from "./explain.ts";
import { conjunctsOf, filterReasons, type TableIndex } from "./filter.ts";
import type { PlanFacts } from "../../../contract/plan-facts.ts";
import type { PlanNode } from "./plan.ts";
import type { PostgresReader, Query } from "./reader.ts";
import type { PostgresTarget } from "./target.ts";
import { keepsShape } from "../../../contract/verdict.ts";

/**
 * Planner settings to switch off. Each list removes one more way that is cheaper than the index on a small table: a
 * sequential scan, a bitmap of its few pages, sorting its few rows.
 */
export const FORCES = [
  ["enable_seqscan"],
  ["enable_seqscan", "enable_bitmapscan"],
  ["enable_seqscan", "enable_bitmapscan", "enable_sort"],
] as const;
const NO_INDEX = ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"];

export interface Question {
  readonly reader: PostgresReader;
  readonly target: PostgresTarget;
  readonly index: TableIndex;
  readonly contract: Contract;
  readonly values: readonly unknown[];
}

/** The contract's plan with its index as the only one; undefined where that cannot be tried. */
export async function servesAlone({
  reader,
  target,
  index,
  contract,
  values,
}: Question): Promise<PlanFacts | undefined> {
  const clone = {
    isTarget: (schema: string, name: string) => schema.startsWith("pg_temp") && name === target.table,
    parentOf: (name: string) => name,
    isPicked: (name: string, condition: string | undefined) => target.isPicked(name, condition),
  };
  try {
    const prepare = async (query: Query) => {
      await makeClone(query, target);
      await query(`CREATE INDEX ${pg.escapeIdentifier(index.name)} ON pg_temp.${quoted(target.table)} ${index.tail}`);
    };
    return await reader.trying(target.schema, prepare, async (query) => {
      const explainer = new Explainer(query, clone, contract, values);
      let best: PlanFacts | undefined;
      for (const off of FORCES) {
        const plan = await explainer.plan(off);
        // No access: the query names the schema, so it does not read the clone.
        if (plan.accesses.length === 0) return undefined;
        best = plan;
        if (keepsShape(contract, [index.name], plan, true)) break;
      }
      return best;
    });
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return undefined;
  }
}

/** The reasons, for the manifest's author; empty if none was found. */
export async function postgresReasons({ reader, target, index, contract, values }: Question): Promise<string[]> {
  try {
    const scan = await reader.reading(target.schema, (query) =>
      new Explainer(query, target, contract, values).targetScan(NO_INDEX),
    );
    if (!scan) return [];
    const filter = scan.Filter ?? "true";
    const missing = index.predicate === null ? [] : await unproven(reader, target, index.predicate, scan, filter);
    if (missing.length > 0) {
      return [`the query does not imply the index's predicate: add ${missing.join(" AND ")} with fixed values`];
    }
    const reasons = filterReasons(filter, index, target.columns);
    if (reasons.length === 0 && index.isWaiting) {
      return ["transactions that were open when the index was built keep it from use; try again when they have ended"];
    }
    return reasons;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return [`the reason could not be found: ${error.message}`];
  }
}

/** The terms of the predicate that the filter does not imply. */
async function unproven(
  reader: PostgresReader,
  target: PostgresTarget,
  predicate: string,
  scan: PlanNode,
  filter: string,
): Promise<string[]> {
  const clone = `pg_temp.${quoted(target.table)}`;
  const explain = `EXPLAIN (FORMAT JSON) SELECT FROM ${clone} AS ${quoted(scan.Alias ?? target.table)} WHERE ${filter}`;
  const missing: string[] = [];
  for (const part of conjunctsOf(predicate)) {
    const prepare = async (query: Query) => {
      await makeClone(query, target);
      await query(`CREATE INDEX tallyman_probe ON ${clone} ((1)) WHERE ${part}`);
    };
    const isProven = await reader.trying(target.schema, prepare, async (query) => {
      await query("SET LOCAL enable_seqscan = off");
      // The probe has no useful key, so the planner uses it only if the filter implies the term.
      return JSON.stringify(await query(explain)).includes('"tallyman_probe"');
    });
    if (!isProven) missing.push(part);
  }
  return missing;
}

async function makeClone(query: Query, { schema, table }: PostgresTarget): Promise<void> {
  await query(
    `CREATE TEMP TABLE ${quoted(table)} (LIKE ${quoted(schema)}.${quoted(table)} INCLUDING GENERATED) ON COMMIT DROP`,
  );
}

function quoted(name: string): string {
  return pg.escapeIdentifier(name);
}
