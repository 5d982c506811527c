import { cpus } from "node:os";
import { MongoClient, MongoServerError, type Db } from "mongodb";
import pg from "pg";
import { createDatabase, startServers, withMongoDatabase } from "../dev/servers.ts";
import { countOf, fill } from "../manifests/data/fill.ts";
import { SAMPLE_DATA } from "../manifests/data/index.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import { ensureIndexes } from "../src/indexes/index.ts";
import { queriesOf, type BenchQuery } from "./indexes/queries.ts";
import { tables, writeInto, type Measured, type Timed } from "./indexes/report.ts";
import { SUBJECTS, type Subject } from "./indexes/subjects.ts";
import { measureSizes, measureWrites, shortest, type Sizes, type Writes } from "./indexes/write.ts";

const PAGE = new URL("../docs/indexes.md", import.meta.url);
const SEED = 1;
/**
 * Runs of each query, of which the shortest counts, after one run that fills the caches; fewer for a slow query. On a
 * shared machine a median measures the other processes too: it was three times the shortest.
 */
const RUNS = 8;
const SLOW_RUNS = 3;
const SLOW_MS = 200;

/**
 * Measures every query of the five documents with and without the indexes of their manifests, on the same data with the
 * same values, and the cost of the indexes; writes the tables into docs/indexes.md.
 */
export async function benchIndexes(options: { rows: number; only?: string; write: boolean }): Promise<void> {
  const servers = await startServers({ print: say });
  const texts = new Map<string, string>();
  const client = new MongoClient(servers.mongodbUri);
  try {
    await client.connect();
    for (const subject of SUBJECTS.filter(({ name }) => options.only === undefined || name === options.only)) {
      const name = `tallyman_bench_${process.pid}_${subject.name}`;
      const databaseUrl = await createDatabase(servers.databaseUrl, "bench");
      const mongo = new MongoClient(withMongoDatabase(servers.mongodbUri, name));
      const sql = new pg.Client(databaseUrl);
      await sql.connect();
      try {
        const text = tables(await measure(subject, options.rows, mongo.db(), sql, databaseUrl));
        console.log(`\n${subject.name}\n\n${text}`);
        texts.set(subject.name, text);
      } finally {
        await sql.end();
        await mongo.db().dropDatabase();
        await mongo.close();
      }
    }
    if (options.only === undefined) texts.set("machine", await machine(client, servers.databaseUrl, options.rows));
    if (options.write) await writeInto(PAGE, texts);
  } finally {
    await client.close();
    await servers.stop();
  }
}

async function measure(
  subject: Subject,
  rows: number,
  mongo: Db,
  sql: pg.Client,
  databaseUrl: string,
): Promise<Measured> {
  const { manifest, constraint } = subject;
  const whole = SAMPLE_DATA[subject.data];
  if (!whole) throw new Error(`no data for ${subject.name}`);
  // Two documents share the usage system, each with one half of its manifest.
  const data = {
    ...whole,
    collections: manifest.mongo ? whole.collections : {},
    tables: manifest.postgres ? whole.tables : {},
  };
  say(`${subject.name}: filling`);
  if (subject.data === "usage") await migrate(databaseUrl, "up");
  await data.prepare({ mongo, sql });
  await fill(data, { mongo, sql }, rows, SEED);
  const ensure = () => ensureIndexes({ manifest, mongo, databaseUrl, allowBlocking: true });
  say(`${subject.name}: drawing values`); // with the indexes, since a text search needs its index
  const first = await ensure();
  const wanting = first.entries.filter(({ action }) => action !== "created" && action !== "present");
  if (wanting.length > 0) throw new Error(wanting.map(({ name, detail }) => `${name}: ${detail}`).join("; "));
  const built = new Map<string, string[]>();
  for (const { target, name, action } of first.entries) {
    if (action === "created") built.set(target, [...(built.get(target) ?? []), name]);
  }
  const queries = await queriesOf(manifest, mongo, sql);
  const drop = async (target: string) => {
    for (const index of built.get(target) ?? []) {
      if (target in data.collections) await mongo.collection(target).dropIndex(index);
      else await sql.query(`DROP INDEX public."${index}"`);
    }
  };
  for (const target of built.keys()) await drop(target);
  if (constraint) await sql.query(`ALTER TABLE ${constraint.table} DROP CONSTRAINT ${constraint.name}`);
  await sql.query("VACUUM ANALYZE");

  say(`${subject.name}: queries without indexes`);
  const without = await timeAll(queries);

  say(`${subject.name}: indexes`);
  if (constraint) {
    await sql.query(`ALTER TABLE ${constraint.table} ADD CONSTRAINT ${constraint.name} ${constraint.definition}`);
  }
  const report = await ensure();
  await sql.query("VACUUM ANALYZE");

  say(`${subject.name}: queries with indexes`);
  const after = await timeAll(queries);
  const results: Timed[] = [];
  for (const [n, query] of queries.entries()) {
    const [before, now] = [without[n] as Time, after[n] as Time];
    if (before.returned !== now.returned && !Number.isNaN(before.returned))
      throw new Error(`${query.contract.name}: ${before.returned} and ${now.returned} found`);
    results.push({ ...query, returned: now.returned, without: before.ms, with: now.ms, through: await query.plan() });
  }

  say(`${subject.name}: writes`);
  const sizes = new Map<string, Sizes>();
  const writes = new Map<string, { without: Writes; with: Writes }>();
  const shape = { rows, seed: SEED, today: new Date() };
  for (const target of built.keys()) {
    const place = { data, target, mongo, sql, shape };
    sizes.set(target, await measureSizes(place));
    const free = countOf(data, target in data.collections ? target : quoted(target), rows);
    const withAll = await measureWrites(place, free);
    await drop(target);
    // The worker's key stays: the upsert needs it.
    writes.set(target, { with: withAll, without: await measureWrites(place, free + 100_000) });
  }
  const buildMs = report.entries.reduce((sum, { ms }) => sum + ms, 0);
  return { subject, rows, queries: results, writes, sizes, buildMs, built };
}

function quoted(target: string): string {
  const name = target.replace(/^public\./, "");
  return /^[a-z_]+$/.test(name) ? name : `"${name}"`;
}

interface Time {
  readonly ms: number;
  readonly returned: number;
}

/** Runs all queries in each round, so that a busy moment of the machine spoils at most one run of each query. */
async function timeAll(queries: readonly BenchQuery[]): Promise<Time[]> {
  const measured = queries.map(() => ({ each: [] as number[], returned: NaN }));
  for (let round = 0; round <= RUNS; round += 1) {
    for (const [n, { run }] of queries.entries()) {
      const { each, returned } = measured[n] as (typeof measured)[number];
      if (round > 0 && Number.isNaN(returned)) continue;
      if (round > SLOW_RUNS && shortest(each) > SLOW_MS) continue;
      const started = performance.now();
      const found = await run().catch((error: unknown) => {
        if (error instanceof MongoServerError) return NaN; // such as $text without a text index
        throw error;
      });
      if (round > 0) each.push(performance.now() - started);
      (measured[n] as (typeof measured)[number]).returned = found;
    }
  }
  return measured.map(({ each, returned }) => ({ ms: each.length === 0 ? NaN : shortest(each), returned }));
}

async function machine(client: MongoClient, databaseUrl: string, rows: number): Promise<string> {
  const info = await client.db().command({ buildInfo: 1 });
  const ferret = info["ferretdb"] as { version: string } | undefined;
  const sql = new pg.Client(databaseUrl);
  await sql.connect();
  const { rows: [server] } = await sql.query<{ server_version: string }>("SHOW server_version"); // prettier-ignore
  await sql.end();
  const mongo = ferret ? `FerretDB ${ferret.version}` : `MongoDB ${String(info["version"])}`;
  const cores = cpus();
  return (
    `${rows.toLocaleString("en")} documents or rows in each main collection or table; ${cores.length} cores (${cores[0]?.model.trim()}), ` +
    `Node.js ${process.versions.node}, ${mongo}, PostgreSQL ${server?.server_version}, all on one machine. The shortest of ${RUNS} runs ` +
    `(${SLOW_RUNS} of those that take over ${SLOW_MS} ms), as a client waits for the whole answer.`
  );
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
