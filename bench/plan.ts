import { Decimal128, MongoClient, type Collection, type Document } from "mongodb";
import pg from "pg";
import { createDatabase, startServers, withMongoDatabase } from "../dev/servers.ts";
import { loadConfig } from "../src/config.ts";
import { commandExecutor } from "../src/execution/supply.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import { matchRange } from "../src/db/mongo/pipeline.ts";
import { PAYLOAD_VERSION } from "../src/task/payload.ts";
import { planRun } from "../src/jobs/plan-run.ts";
import { createLogger } from "../src/log.ts";
import { Services } from "../src/services.ts";
import { addDays, dayBounds, type Day } from "../src/usage/day.ts";

const FROM = "2023-01-01";

interface Shape {
  readonly name: string;
  readonly tenants: number;
  readonly days: number;
  readonly eventsPerDay: number;
}

/**
 * Measures the planning of a backfill, for unknown and again for known tenants, against a floor: for each tenant one
 * query whether it has an event, eight at once.
 */
export async function benchPlan({ tenants, years }: { tenants: number; years: number }): Promise<void> {
  const shapes: Shape[] = [
    { name: `${tenants.toLocaleString("en")} tenants x 1 day`, tenants, days: 1, eventsPerDay: 20 },
    { name: `1 tenant x ${years} years`, tenants: 1, days: Math.round(years * 365.25), eventsPerDay: 500 },
  ];
  const servers = await startServers({ print: say });
  try {
    for (const shape of shapes) {
      const uri = withMongoDatabase(servers.mongodbUri, `tallyman_bench_${process.pid}_${shape.tenants}`);
      await measure(shape, uri, await createDatabase(servers.databaseUrl, "bench"));
    }
  } finally {
    await servers.stop();
  }
}

async function measure(shape: Shape, uri: string, databaseUrl: string): Promise<void> {
  await migrate(databaseUrl, "up");
  const config = loadConfig({ MONGODB_URI: uri, DATABASE_URL: databaseUrl, LOG_LEVEL: "silent" });
  const services = new Services(config, createLogger(config.logLevel));
  const client = new MongoClient(uri);
  const pool = new pg.Pool({ connectionString: databaseUrl });
  try {
    const events = client.db().collection(config.eventsCollection);
    const { tenant_id, created_at } = config.eventsFields;
    const hint = "idx_tenant_date";
    await events.createIndex({ [tenant_id]: 1, [created_at]: -1 }, { name: hint });
    say(`inserting ${(shape.tenants * shape.days * shape.eventsPerDay).toLocaleString("en")} events`);
    await insert(events, shape);
    const to = addDays(FROM, shape.days - 1);
    const { signal } = new AbortController();
    const names = Array.from({ length: shape.tenants }, (_, n) => tenantName(n));

    const floor = await timed(async () => {
      const { start } = dayBounds(FROM, "UTC");
      const { end } = dayBounds(to, "UTC");
      const queue = names.values();
      const next = async () => {
        for (const tenant of queue) {
          const filter = matchRange({ tenant, start, end }, config.eventsFields);
          await events.findOne(filter, { hint, projection: { _id: 1 } });
        }
      };
      await Promise.all(Array.from({ length: 8 }, next));
    });
    const { tenants } = await services.source();
    const scan = await timed(() => tenants.listAll(signal));
    const named = await timed(() => plan(services, to, names, "first"));
    const again = await timed(() => plan(services, to, names, "again"));
    const all = await timed(() => plan(services, to, undefined, "all"));
    const { rows } = await pool.query<{ chunks: number; days: number }>(
      "SELECT max(chunks_planned) AS chunks, max(days_planned) AS days FROM usage_run",
    );
    print(shape, rows[0], [
      ["the floor: one question a tenant", floor],
      ["planned for the first time", named],
      ["planned again, the tenants known", again],
      ["planned again for every tenant, the scan for new ones included", all],
      ["  of it the scan of the tenant index", scan],
    ]);
  } finally {
    await services.close();
    await client
      .db()
      .dropDatabase()
      .catch(() => undefined);
    await client.close();
    await pool.end();
  }
}

/** Plans a run as the job does, and stores its chunks. */
async function plan(services: Services, to: Day, tenants: string[] | undefined, dedupeBy: string): Promise<void> {
  const request = { kind: "backfill", from: FROM, to, tenants, requestedBy: "bench", dedupeBy } as const;
  const { id } = await (await services.runs()).create(request);
  const given = { log: services.log, signal: new AbortController().signal };
  await commandExecutor(services).execute(planRun, { v: PAYLOAD_VERSION, runId: id }, given);
}

const tenantName = (n: number) => `tenant-${String(n).padStart(5, "0")}`;

async function insert(events: Collection, { tenants, days, eventsPerDay }: Shape): Promise<void> {
  const { start } = dayBounds(FROM, "UTC");
  const cost = Decimal128.fromString("0.001");
  let batch: Document[] = [];
  for (let n = 0; n < tenants * days * eventsPerDay; n++) {
    const day = Math.floor(n / eventsPerDay) % days;
    batch.push({
      tenant_id: tenantName(Math.floor(n / eventsPerDay / days)),
      user_id: `user-${n % 50}`,
      model: "claude-haiku",
      provider: "anthropic",
      prompt_tokens: 100,
      completion_tokens: 20,
      total_tokens: 120,
      cost,
      created_at: new Date(start + day * 86_400_000 + Math.floor(((n % eventsPerDay) * 86_400_000) / eventsPerDay)),
    });
    if (batch.length === 10_000) {
      await events.insertMany(batch, { ordered: false });
      batch = [];
    }
  }
  if (batch.length > 0) await events.insertMany(batch, { ordered: false });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1_000;
}

function print(
  { name, tenants, days, eventsPerDay }: Shape,
  planned: { chunks: number; days: number } | undefined,
  results: readonly (readonly [string, number])[],
): void {
  const events = (tenants * days * eventsPerDay).toLocaleString("en");
  console.log(`\n${name}, ${events} events: ${planned?.days} tenant-days in ${planned?.chunks} chunks; seconds`);
  const floor = results[0]?.[1] ?? NaN;
  for (const [index, [what, seconds]] of results.entries()) {
    const ratio = index === 0 ? "" : `   ${(seconds / floor).toFixed(2)} x the floor`;
    console.log(`${what.padEnd(65)}${seconds.toFixed(2).padStart(8)}${ratio}`);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
