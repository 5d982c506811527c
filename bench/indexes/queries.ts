/** A contract's query with real values, to be run repeatedly. */
import type { Db } from "mongodb";
import type pg from "pg";
import type { Contract, Manifest } from "../../src/indexes/manifest/manifest.ts";
import { placedContracts } from "../../src/indexes/contract/contracts.ts";
import { explainOnMongo } from "../../src/indexes/engines/mongo/verify/explain.ts";
import { filledQuery } from "../../src/indexes/engines/mongo/verify/sample.ts";
import { indexNames } from "../../src/indexes/contract/plan-facts.ts";
import { readPostgresPlan, type PlanNode } from "../../src/indexes/engines/postgres/verify/plan.ts";
import { valuesFor } from "../../src/indexes/engines/postgres/verify/sample.ts";
import { readTarget } from "../../src/indexes/engines/postgres/verify/target.ts";

export interface BenchQuery {
  readonly target: string;
  readonly index: string | undefined;
  readonly contract: Contract;
  /** Runs the query. @returns the number of documents or rows */
  readonly run: () => Promise<number>;
  /** The indexes of the server's present plan; "-" if it reads everything. */
  readonly plan: () => Promise<string>;
}

const LIMIT_MS = 120_000;
/** Batch size of a client: FerretDB restarts an unsorted search for each further batch. */
const BATCH = 10_000;

/** Every query of a manifest, with values drawn once. Drawing needs the indexes, or it is slow. */
export async function queriesOf(manifest: Manifest, mongo: Db, sql: pg.Client): Promise<BenchQuery[]> {
  const queries: BenchQuery[] = [];
  for (const { engine, target, index, contract } of placedContracts(manifest)) {
    const make =
      engine === "mongodb" ? onMongo(mongo, target, contract) : onPostgres(sql, target, contract, index?.name);
    queries.push({ target, index: index?.name, contract, ...(await make) });
  }
  return queries;
}

type Runnable = Pick<BenchQuery, "run" | "plan">;

async function onMongo(db: Db, name: string, contract: Contract): Promise<Runnable> {
  const collection = db.collection(name);
  const target = { db, name, isFerret: "ferretdb" in (await db.command({ buildInfo: 1 })), limitMs: LIMIT_MS };
  const { query } = await filledQuery(target, unlimited(contract));
  return {
    async run() {
      const { find, count, aggregate = [] } = query;
      if (count) return Number((await db.command({ count: name, query: count }))["n"]);
      const { filter = {}, ...options } = find ?? {};
      const cursor = find
        ? collection.find(filter, { ...options, batchSize: BATCH })
        : collection.aggregate([...aggregate], { batchSize: BATCH });
      return (await cursor.toArray()).length;
    },
    async plan() {
      const { plan } = await explainOnMongo(target, contract, query);
      return named(plan.accesses.some(({ index }) => index === undefined) ? [] : indexNames(plan));
    },
  };
}

/** Removes a limit of one: a full scan would stop at the document, early or late by luck. */
function unlimited({ find, ...contract }: Contract): Contract {
  if (!find) return contract;
  const { limit, ...rest } = find;
  return { ...contract, find: limit === 1 || limit === undefined ? rest : find };
}

async function onPostgres(
  client: pg.Client,
  of: string,
  contract: Contract,
  index: string | undefined,
): Promise<Runnable> {
  const [schema = "", table = ""] = of.split(/\.(.*)/s);
  const query = async <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
    (await client.query<Row>(text, [...values])).rows;
  const target = await readTarget(query, schema, table);
  if (!target) throw new Error(`there is no ${of}`);
  const near = target.indexes.find(({ name }) => name === index)?.predicate ?? null;
  const params = Array.isArray(contract.params) ? contract.params : [];
  const { values } = await valuesFor(query, target, params, [], near);
  const text = contract.sql as string;
  return {
    run: async () => (await query(text, values)).length,
    async plan() {
      const [row] = await query<{ "QUERY PLAN": { Plan: PlanNode }[] }>(
        `EXPLAIN (FORMAT JSON, VERBOSE) ${text}`,
        values,
      );
      const plan = readPostgresPlan(
        row?.["QUERY PLAN"][0]?.Plan as PlanNode,
        (await readTarget(query, schema, table)) ?? target,
      );
      return named(plan.accesses.some(({ index: through }) => through === undefined) ? [] : indexNames(plan));
    },
  };
}

function named(indexes: readonly string[]): string {
  return indexes.length === 0 ? "-" : indexes.join(", ");
}
