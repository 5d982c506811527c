import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { type Decimal128, MongoClient, type Collection } from "mongodb";
import { createDatabase, startServers, withMongoDatabase } from "../dev/servers.ts";
import { readDecimal128 } from "../src/db/mongo/ids.ts";
import { matchRange, plainPipeline } from "../src/db/mongo/pipeline.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import { scaled } from "../src/usage/decimal.ts";
import { addDays, dayBounds, listDays } from "../src/usage/day.ts";
import { EVENT_FIELDS, type FieldMap } from "../src/usage/event.ts";
import { RollupBuilder } from "../src/usage/rollup.ts";
import { insertBenchEvents, type BenchShape } from "./data.ts";

const FIELDS = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const HINT = "idx_tenant_date";
const RAW_BATCH = 100_000;

interface Measured {
  readonly name: string;
  readonly seconds: number;
  readonly note?: string;
}

/**
 * Measures the rebuild of one tenant's range against its parts alone, in one run on the same servers. The floor is the
 * same $group with its groups read and discarded.
 */
export async function benchRebuild({ days, rounds }: { days: number; rounds: number }): Promise<void> {
  const shape: BenchShape = {
    tenant: "acme",
    days,
    eventsPerDay: 10_000,
    users: 1_000,
    from: addDays("2026-01-01", -days),
  };
  const servers = await startServers({ print: say });
  const uri = withMongoDatabase(servers.mongodbUri, `tallyman_bench_${process.pid}`);
  const client = new MongoClient(uri);
  try {
    const events = client.db().collection("token_usage_events");
    await events.createIndex({ [FIELDS.tenant_id]: 1, [FIELDS.created_at]: -1 }, { name: HINT });
    say(`inserting ${(days * shape.eventsPerDay).toLocaleString("en")} events`);
    await insertBenchEvents(events, shape, (done) => done % 50 === 0 && say(`  ${done} of ${days} days`));

    const results = new Map<string, Measured[]>();
    for (let round = 1; round <= rounds; round++) {
      say(`round ${round} of ${rounds}`);
      for (const measure of [drained, counted, added, rebuilt]) {
        const result = await measure();
        results.set(result.name, [...(results.get(result.name) ?? []), result]);
      }
    }
    print(results, shape);

    async function drained() {
      const seconds = await timedDays(async (range) => {
        const cursor = events.aggregate(plainPipeline(range, FIELDS), { hint: HINT, raw: true, batchSize: RAW_BATCH });
        for await (const _group of cursor);
      });
      return { name: FLOOR, seconds };
    }

    async function counted() {
      const seconds = await timedDays(async (range) => {
        await events.aggregate([...plainPipeline(range, FIELDS), { $count: "groups" }], { hint: HINT }).toArray();
      });
      return { name: "the same, only the count of groups", seconds };
    }

    async function added() {
      const seconds = await timedDays((range) => addUpOnClient(events, range));
      return { name: CLIENT, seconds };
    }

    async function rebuilt() {
      const databaseUrl = await createDatabase(servers.databaseUrl, "bench");
      await migrate(databaseUrl, "up");
      const { seconds, peakMiB } = await runRebuild({ MONGODB_URI: uri, DATABASE_URL: databaseUrl }, shape);
      return { name: REBUILD, seconds, note: `peak resident set ${peakMiB} MiB` };
    }

    async function timedDays(work: (range: { tenant: string; start: number; end: number }) => Promise<void>) {
      const queue = listDays(shape.from, addDays(shape.from, days - 1));
      const started = performance.now();
      const next = async () => {
        for (let day = queue.shift(); day !== undefined; day = queue.shift()) {
          await work({ tenant: shape.tenant, ...dayBounds(day, "UTC") });
        }
      };
      await Promise.all([next(), next()]);
      return (performance.now() - started) / 1_000;
    }
  } finally {
    await client
      .db()
      .dropDatabase()
      .catch(() => undefined);
    await client.close();
    await servers.stop();
  }
}

const REBUILD = "tallyman rebuild --inline";
const FLOOR = "the floor: the same $group, drained raw, thrown away";
const CLIENT = "reading the events and adding up on the client";

async function addUpOnClient(events: Collection, range: { tenant: string; start: number; end: number }): Promise<void> {
  const builder = new RollupBuilder();
  const cursor = events.find(matchRange(range, FIELDS), { hint: HINT, sort: { created_at: 1 }, batchSize: 10_000 });
  for await (const event of cursor) {
    const { coefficient, exponent } = readDecimal128(event["cost"] as Decimal128);
    builder.add({
      keys: {
        user: event["user_id"] as string,
        model: event["model"] as string,
        provider: event["provider"] as string,
      },
      sums: {
        requests: 1,
        tokens: event["total_tokens"] as number,
        prompt: event["prompt_tokens"] as number,
        completion: event["completion_tokens"] as number,
        cost: scaled(coefficient, exponent),
      },
      malformed: 0,
    });
  }
  builder.build();
}

/** The built command in a process of its own, as an operator runs it, start and connections included. */
async function runRebuild(env: Record<string, string>, { tenant, from, days }: BenchShape) {
  const args = [
    "dist/src/cli.js",
    "rebuild",
    "--inline",
    "--from",
    from,
    "--to",
    addDays(from, days - 1),
    "--tenant",
    tenant,
  ];
  const started = performance.now();
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env, LOG_LEVEL: "warn" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let peakKiB = 0;
  const poll = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      peakKiB = Math.max(peakKiB, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // the process has just ended
    }
  }, 50);
  child.stdout.resume();
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(poll);
  if (code !== 0) throw new Error(`rebuild ended with exit code ${code}`);
  return { seconds: (performance.now() - started) / 1_000, peakMiB: Math.round(peakKiB / 1_024) };
}

function print(results: ReadonlyMap<string, Measured[]>, shape: BenchShape): void {
  const median = (name: string) => {
    const seconds = (results.get(name) ?? []).map((result) => result.seconds).sort((a, b) => a - b);
    return seconds[Math.floor((seconds.length - 1) / 2)] ?? NaN;
  };
  const rebuild = median(REBUILD);
  console.log(
    `\n${shape.days} days x ${shape.eventsPerDay.toLocaleString("en")} events x ${shape.users.toLocaleString("en")} users, one tenant; seconds, median of each`,
  );
  for (const [name, rounds] of results) {
    const note = rounds.map((round) => round.note).findLast((text) => text !== undefined);
    console.log(`${name.padEnd(55)}${median(name).toFixed(2).padStart(8)}${note ? `   ${note}` : ""}`);
  }
  console.log(`rebuild / floor  = ${(rebuild / median(FLOOR)).toFixed(2)}   (goal: at most 2)`);
  console.log(`client / rebuild = ${(median(CLIENT) / rebuild).toFixed(2)}   (goal: at least 2.5)`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
