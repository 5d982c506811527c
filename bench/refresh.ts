import { MongoClient, ObjectId, type Collection, type Document } from "mongodb";
import type { z } from "zod";
import { createDatabase, startServers, withMongoDatabase } from "../dev/servers.ts";
import { loadConfig } from "../src/config.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import type { RunRequest } from "../src/db/postgres/runs/request.ts";
import { commandExecutor } from "../src/execution/supply.ts";
import { runInline } from "../src/execution/inline.ts";
import { aggregateDays } from "../src/jobs/aggregate-days.ts";
import { followArrivals } from "../src/jobs/follow-arrivals.ts";
import type { Job } from "../src/task/job.ts";
import { PAYLOAD_VERSION } from "../src/task/payload.ts";
import { createLogger } from "../src/log.ts";
import { Services } from "../src/services.ts";
import { addDays } from "../src/usage/day.ts";
import { benchDay, seeded } from "./data.ts";

export interface RefreshShape {
  tenants: number;
  days: number;
  /** of one tenant */
  eventsPerDay: number;
  newEvents: number;
  /** tenant-days that the new events are spread over */
  touchedDays: number;
}

const INSERT_BATCH = 10_000;
const SAY_EVERY = 2_000;

/**
 * Measures a refresh after a few new events in a large collection against a rebuild of the whole, in one run on the
 * same servers. Fails if the refresh does not rebuild exactly the tenant-days of the new events.
 */
export async function benchRefresh(shape: RefreshShape): Promise<void> {
  const to = addDays(new Date().toISOString().slice(0, 10), -1);
  const from = addDays(to, 1 - shape.days);
  const servers = await startServers({ print: say });
  const MONGODB_URI = withMongoDatabase(servers.mongodbUri, `tallyman_bench_${process.pid}`);
  const DATABASE_URL = await createDatabase(servers.databaseUrl, "bench");
  const config = loadConfig({ MONGODB_URI, DATABASE_URL, LOG_LEVEL: "warn" });
  const services = new Services(config, createLogger(config.logLevel));
  const client = new MongoClient(MONGODB_URI);
  try {
    await migrate(DATABASE_URL, "up");
    const events = client.db().collection(config.eventsCollection);
    await events.createIndex({ tenant_id: 1, created_at: -1 }, { name: "idx_tenant_date" });
    const total = shape.tenants * shape.days * shape.eventsPerDay;
    say(`inserting ${total.toLocaleString("en")} events of ${shape.tenants} tenants on ${shape.days} days`);
    await insertHistory(events, shape, from);

    const rebuild = await timed(async () => {
      const request: RunRequest = { kind: "backfill", requestedBy: "bench", from, to };
      let said = 0;
      const run = await runInline(services, request, new AbortController().signal, ({ days }) => {
        if (days.written < said + SAY_EVERY) return;
        said = days.written;
        say(`  ${days.written} of ${days.planned} tenant-days rebuilt`);
      });
      if (run.state !== "done") throw new Error(`the rebuild has ${run.state}: ${run.error}`);
      return run.days.written;
    });

    const touched = await insertNew(events, shape, from);
    const found = await timed(() => execute(services, followArrivals, { v: PAYLOAD_VERSION, slot: "bench" }));
    const { runId } = found.result;
    if (runId === null) throw new Error("the refresh found nothing");
    const rebuilt = await timed(() => workOff(services, runId));
    const missed = [...touched].filter((day) => !rebuilt.result.has(day));
    const others = [...rebuilt.result].filter((day) => !touched.has(day));
    const again = await timed(() => execute(services, followArrivals, { v: PAYLOAD_VERSION, slot: "bench" }));

    const refresh = found.seconds + rebuilt.seconds;
    console.log(`\n${total.toLocaleString("en")} events, ${rebuild.result.toLocaleString("en")} tenant-days; seconds`);
    line("full rebuild, inline", rebuild.seconds);
    line(`refresh after ${shape.newEvents.toLocaleString("en")} new events on ${touched.size} tenant-days`, refresh);
    line("  of it: find and mark", found.seconds, `${found.result.events} events read`);
    line("  of it: rebuild", rebuilt.seconds, `${rebuilt.result.size} tenant-days`);
    line("refresh with nothing new", again.seconds, `${again.result.differing} tenant-days`);
    console.log(`tenant-days missed: ${missed.length}, rebuilt without need: ${others.length}   (goal: 0 and 0)`);
    console.log(`full rebuild / refresh = ${(rebuild.seconds / refresh).toFixed(0)}`);
    if (missed.length + others.length > 0 || again.result.runId !== null) process.exitCode = 1;
  } finally {
    await services.close();
    await client
      .db()
      .dropDatabase()
      .catch(() => undefined);
    await client.close();
    await servers.stop();
  }
}

const tenantName = (number: number) => `tenant-${String(number).padStart(3, "0")}`;

/** Every event has the id that a driver made when it happened, as in a collection that grew day by day. */
async function insertHistory(events: Collection, shape: RefreshShape, from: string): Promise<void> {
  let number = 0;
  let batch: Document[] = [];
  const flush = async () => {
    if (batch.length > 0) await events.insertMany(batch, { ordered: false });
    batch = [];
  };
  for (let day = 0; day < shape.days; day++) {
    for (let tenant = 0; tenant < shape.tenants; tenant++) {
      for (const event of benchDay({ ...shape, tenant: tenantName(tenant), users: 20, from }, day)) {
        const second = Math.floor((event["created_at"] as Date).getTime() / 1_000);
        const text = second.toString(16).padStart(8, "0") + (number++).toString(16).padStart(16, "0");
        batch.push({ _id: new ObjectId(text), ...event });
        if (batch.length === INSERT_BATCH) await flush();
      }
    }
    if ((day + 1) % 50 === 0) say(`  ${day + 1} of ${shape.days} days`);
  }
  await flush();
}

/** Inserts events of long past days that arrive now. @returns their tenant-days */
async function insertNew(events: Collection, shape: RefreshShape, from: string): Promise<Set<string>> {
  const random = seeded(7);
  const pick = (count: number) => Math.floor(random() * count);
  const days = Array.from({ length: shape.touchedDays }, () => ({
    tenant: pick(shape.tenants),
    day: pick(shape.days),
  }));
  const touched = new Set<string>();
  const late = Array.from({ length: shape.newEvents }, (_, number) => {
    const { tenant, day } = days[number % days.length] as (typeof days)[number];
    touched.add(`${tenantName(tenant)} ${addDays(from, day)}`);
    const own = benchDay({ ...shape, tenant: tenantName(tenant), users: 20, from }, day);
    return own[pick(own.length)] as Document; // the driver gives it a new id
  });
  await events.insertMany(late, { ordered: false });
  return touched;
}

/** Executes a job as a process does that has no queue. */
function execute<P extends z.ZodType, Result>(services: Services, job: Job<string, P, Result>, payload: z.output<P>) {
  const given = { log: services.log, signal: new AbortController().signal };
  return commandExecutor(services).execute(job, payload, given);
}

/** Works on every chunk of a run, one after the other as a worker does. @returns the tenant-days that it changed */
async function workOff(services: Services, runId: string): Promise<Set<string>> {
  for (const chunk of await (await services.chunks()).claimable(runId)) {
    await execute(services, aggregateDays, { v: PAYLOAD_VERSION, runId, chunk });
  }
  const run = await (await services.runs()).get(runId);
  if (run?.state !== "done") throw new Error(`the refresh has ${run?.state}: ${run?.error}`);
  const { rows } = await (
    await services.pool()
  ).query<{ day: string }>("SELECT tenant_id || ' ' || date AS day FROM usage_change WHERE run_id = $1", [runId]);
  return new Set(rows.map(({ day }) => day));
}

async function timed<T>(work: () => Promise<T>): Promise<{ seconds: number; result: T }> {
  const started = performance.now();
  const result = await work();
  return { seconds: (performance.now() - started) / 1_000, result };
}

function line(name: string, seconds: number, note = ""): void {
  console.log(`${name.padEnd(60)}${seconds.toFixed(2).padStart(8)}   ${note}`.trimEnd());
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
