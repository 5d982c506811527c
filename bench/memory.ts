import { readFileSync } from "node:fs";
import { Decimal128, MongoClient, type Collection, type Document } from "mongodb";
import pg from "pg";
import { createDatabase, startServers, withMongoDatabase } from "../dev/servers.ts";
import { table } from "../src/cli/table.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import { addDays } from "../src/usage/day.ts";
import { startProgram } from "../test/support/program.ts";
import { seeded } from "./data.ts";

const FROM = "2026-03-01";
const PROGRAM = new URL("../dist/src/cli.js", import.meta.url).pathname;
const POLL_MS = 100;
const BATCH = 10_000;

interface Shape {
  readonly users: number;
  readonly models: number;
  readonly days: number;
}

interface Options extends Shape {
  readonly heap: readonly number[];
  readonly concurrency: readonly number[];
}

/** Measures which limit on the heap a worker survives, and the memory that its process takes, over days of many users. */
export async function benchMemory({ heap, concurrency, ...shape }: Options): Promise<void> {
  const servers = await startServers({ print: say });
  const uri = withMongoDatabase(servers.mongodbUri, `tallyman_memory_${process.pid}`);
  const client = new MongoClient(uri);
  const rows: (string | number)[][] = [];
  try {
    const events = client.db().collection("token_usage_events");
    await events.createIndex({ tenant_id: 1, created_at: -1 }, { name: "idx_tenant_date" });
    for (let day = 0; day < shape.days; day++) {
      await insertDay(events, addDays(FROM, day), shape);
      say(`  ${day + 1} of ${shape.days} days inserted`);
    }
    for (const jobs of concurrency) {
      for (const limit of heap) {
        const databaseUrl = await createDatabase(servers.databaseUrl, "memory");
        await migrate(databaseUrl, "up");
        const env = {
          MONGODB_URI: uri,
          DATABASE_URL: databaseUrl,
          REDIS_URL: servers.redisUrl,
          QUEUE_PREFIX: `memory_${process.pid}_${jobs}_${limit}`,
          WORKER_CONCURRENCY: String(jobs),
          HTTP_PORT: "0",
          LOG_LEVEL: "silent",
          NIGHTLY_CRON: "0 0 29 2 *",
          AUDIT_CRON: "0 0 29 2 *",
          INDEXES_CRON: "0 0 29 2 *",
          REFRESH_SECONDS: "86400",
        };
        const row = await measure(env, limit, shape);
        rows.push([jobs, limit, ...row]);
        say(`  concurrency ${jobs}, heap ${limit} MB: ${row.join(", ")}`);
      }
    }
    const head = ["WORKER_CONCURRENCY", "--max-old-space-size", "outcome", "idle MiB", "peak MiB", "seconds"];
    say(table(head, rows).join("\n"));
  } finally {
    await client.db().dropDatabase();
    await client.close();
    await servers.stop();
  }
}

/** Runs a backfill of all days with one worker. @returns the outcome, resident memory at rest and at its peak, seconds */
async function measure(env: Record<string, string>, limit: number, { days }: Shape): Promise<(string | number)[]> {
  const pool = new pg.Pool({ connectionString: env["DATABASE_URL"], max: 1 });
  const worker = startProgram(process.execPath, [`--max-old-space-size=${limit}`, PROGRAM, "worker", "--json"], env);
  let code: number | null | undefined;
  void worker.ended.then((ended) => (code = ended.code));
  try {
    while (code === undefined && !worker.stdout().includes("\n")) await pause();
    const idle = resident(worker.pid);
    const started = performance.now();
    const range = ["--from", FROM, "--to", addDays(FROM, days - 1)];
    await startProgram(process.execPath, [PROGRAM, "backfill", ...range], env).ended;
    let peak = idle;
    for (;;) {
      peak = Math.max(peak, resident(worker.pid));
      const { rows } = await pool.query<{ state: string }>("SELECT state FROM usage_run");
      const state = rows[0]?.state ?? "";
      const seconds = ((performance.now() - started) / 1_000).toFixed(0);
      if (code !== undefined)
        return [code === null || code > 128 ? "out of memory" : `ended with ${code}`, idle, peak, seconds];
      if (state !== "planned" && state !== "running") return [state, idle, peak, seconds];
      await pause();
    }
  } finally {
    worker.signal("SIGKILL");
    await worker.ended;
    await pool.end();
  }
}

/** Each user asks each model once. */
async function insertDay(events: Collection, day: string, { users, models }: Shape): Promise<void> {
  const random = seeded(Date.parse(day));
  const start = Date.parse(`${day}T00:00:00Z`);
  let batch: Document[] = [];
  for (let number = 0; number < users * models; number++) {
    const user = Math.floor(number / models);
    const prompt = 1 + Math.floor(random() * 4_000);
    batch.push({
      tenant_id: "acme",
      user_id: `0190a5d2-7c1e-7def-8123-${user.toString(16).padStart(12, "0")}`,
      model: `model-${number % models}`,
      provider: "provider",
      prompt_tokens: prompt,
      completion_tokens: 100,
      cost: Decimal128.fromString((prompt * 3e-6).toFixed(6)),
      created_at: new Date(start + Math.floor((number * 86_400_000) / (users * models))),
    });
    if (batch.length === BATCH) {
      await events.insertMany(batch, { ordered: false });
      batch = [];
    }
  }
  if (batch.length > 0) await events.insertMany(batch, { ordered: false });
}

/** Resident memory of a process in MiB, its peak where the system keeps it; 0 once it has ended. */
function resident(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024);
  } catch {
    return 0;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

function say(line: string): void {
  console.log(line);
}
