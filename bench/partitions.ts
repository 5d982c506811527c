import pg from "pg";
import { MongoClient } from "mongodb";
import { createDatabase, startServers, withMongoDatabase } from "../dev/servers.ts";
import { table } from "../src/cli/table.ts";
import { ensureIndexes, rollbackIndexes, type Manifest } from "../src/indexes/index.ts";

const MONTHS = 24;
const BASELINE_MS = 5_000;

/**
 * Measures what writers of a partitioned table feel of the index keeper: the latency of an insert through the whole
 * table, without any work on its indexes, and while an index is built, replaced and brought back.
 */
export async function benchPartitions({ rows, writers }: { rows: number; writers: number }): Promise<void> {
  const servers = await startServers({ print: say });
  try {
    const databaseUrl = await createDatabase(servers.databaseUrl, "bench");
    const client = await MongoClient.connect(
      withMongoDatabase(servers.mongodbUri, `tallyman_bench_${process.pid}_partitions`),
    );
    try {
      await measure({ databaseUrl, mongo: client.db() }, rows, writers);
    } finally {
      await client.close();
    }
  } finally {
    await servers.stop();
  }
}

type Targets = Omit<Parameters<typeof ensureIndexes>[0], "manifest">;

async function measure(targets: Targets, rows: number, count: number): Promise<void> {
  const { databaseUrl } = targets;
  await fill(databaseUrl, rows);
  const first = manifest(["kind", "day"]);
  const second = manifest(["tenant", "day"]);
  const phases: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["nothing (baseline)", () => new Promise((resolve) => setTimeout(resolve, BASELINE_MS))],
    ["build", () => ensureIndexes({ ...targets, manifest: first })],
    ["replacement", () => ensureIndexes({ ...targets, manifest: second, replace: true })],
    ["rollback of the replacement", () => rollbackIndexes({ ...targets, manifest: second }, {})],
    ["rollback of the build", () => rollbackIndexes({ ...targets, manifest: first }, { all: true })],
  ];
  const lines: string[][] = [];
  let baseline = 0;
  for (const [name, work] of phases) {
    const latencies = await underWriters(databaseUrl, count, work);
    const p99 = quantile(latencies.ms, 0.99);
    if (baseline === 0) baseline = p99;
    lines.push([
      name,
      (latencies.took / 1000).toFixed(1),
      latencies.ms.length.toLocaleString("en"),
      ...[quantile(latencies.ms, 0.5), p99, quantile(latencies.ms, 1)].map((ms) => ms.toFixed(1)),
      `${(p99 / baseline).toFixed(1)}x`,
    ]);
  }
  say(`${rows.toLocaleString("en")} rows in ${MONTHS} partitions, ${count} writers`);
  for (const line of table(
    ["during", "s", "inserts", "median, ms", "p99, ms", "longest, ms", "p99 to baseline"],
    lines,
  ))
    say(line);
}

async function underWriters(url: string, count: number, work: () => Promise<unknown>) {
  const stop = new AbortController();
  const ms: number[] = [];
  const writers = Array.from({ length: count }, async () => {
    const client = new pg.Client(url);
    await client.connect();
    for (let n = 0; !stop.signal.aborted; n += 1) {
      const started = performance.now();
      await client.query("INSERT INTO events VALUES ($1, date '2026-01-01' + $2::int, 'w', 'writer')", [n, n % 700]);
      ms.push(performance.now() - started);
    }
    await client.end();
  });
  const started = performance.now();
  try {
    await work();
  } finally {
    stop.abort();
    await Promise.all(writers);
  }
  return { ms, took: performance.now() - started };
}

async function fill(url: string, rows: number): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query("CREATE TABLE events (id bigint, day date, kind text, tenant text) PARTITION BY RANGE (day)");
  for (let month = 0; month < MONTHS; month += 1) {
    const [from, to] = [month, month + 1].map((at) => new Date(Date.UTC(2026, at, 1)).toISOString().slice(0, 10));
    await client.query(`CREATE TABLE events_${month + 1} PARTITION OF events FOR VALUES FROM ('${from}') TO ('${to}')`);
  }
  await client.query(
    "INSERT INTO events SELECT g, date '2026-01-01' + g % 700, chr(97 + g % 26), 'tenant ' || g % 50 FROM generate_series(1, $1::int) g",
    [rows],
  );
  await client.end();
}

function manifest(columns: readonly string[]): Manifest {
  const index = { name: "by_kind", why: "bench", columns: [...columns] };
  return { version: 1, project: "bench", postgres: { "public.events": [index] } };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
