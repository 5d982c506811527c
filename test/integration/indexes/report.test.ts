import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StatsReport } from "../../../src/indexes/stats/stats.ts";
import type { MaintainReport } from "../../../src/indexes/maintain.ts";
import { reportIndexUsage } from "../../../src/jobs/report-index-usage.ts";
import { createLogger } from "../../../src/log.ts";
import { Metrics } from "../../../src/metrics.ts";
import { loadConfig } from "../../../src/config.ts";
import { Services } from "../../../src/services.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, start } from "../../support/process.ts";
import { until } from "../../support/until.ts";
import { useWorld } from "../../support/world.ts";
import { timeless } from "./timeless.ts";

const world = useWorld("index_usage");
/** another replica, whose role may do no more than its work needs */
let replica: Services;
const ROLE = `tallyman_replica_${randomUUID().slice(0, 8)}`; // roles belong to the whole server

beforeAll(async () => {
  await world.insert(daysOfEvents("acme", "2026-11-15", 3));
  await world.services.keeper.ensure({ allowBlocking: true });
  await world.pool.query(`CREATE ROLE ${ROLE} LOGIN`);
  await world.pool.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${ROLE}`);
  const admin = world.env["DATABASE_URL"] as string;
  const url = new URL(admin);
  url.username = ROLE;
  const config = loadConfig({ ...world.env, DATABASE_URL: url.href, DATABASE_ADMIN_URL: admin });
  replica = new Services(config, createLogger("silent"));
  for (const { keeper } of [world.services, replica]) {
    const manifest = keeper.manifest.bind(keeper);
    keeper.manifest = async (name) => timeless(await manifest(name));
  }
});
afterAll(async () => {
  await endProcesses();
  await replica.close();
  await world.pool.query(`DROP OWNED BY ${ROLE}`);
  await world.pool.query(`DROP ROLE ${ROLE}`);
});

const scrape = (services: Services) =>
  new Metrics({
    newestAudit: () => Promise.resolve(undefined),
    fallenDays: () => Promise.resolve(0),
    malformed: () => Promise.resolve([]),
    newestIndexReport: services.newestIndexReport,
  }).text();

test("before the first report, or for a role that may not read it, /metrics works without index metrics", async () => {
  expect(await scrape(world.services)).toContain("tallyman_index_report_timestamp_seconds 0");
  await world.services.reportIndexUsage(new AbortController().signal);
  expect(await scrape(world.services)).toContain('tallyman_index_state{engine="postgres"');
  const unreadable = await scrape(replica);
  expect(unreadable).toContain("tallyman_index_report_timestamp_seconds 0");
  expect(unreadable).toContain("tallyman_audit_checked_days 0");
});

test("the job stores a report that every replica shows, with each declared index and its contracts", async () => {
  const { signal } = new AbortController();
  const context = {
    reportIndexUsage: (given: AbortSignal) => replica.reportIndexUsage(given),
    log: replica.log,
    signal,
  } as unknown as Parameters<typeof reportIndexUsage.run>[1];
  const result = await reportIndexUsage.run({ v: 1, slot: "2026-11-21T0415Z" }, context);
  expect(result).toEqual({ targets: 2, alerts: 0, warnings: 0 });

  const [shown, elsewhere] = [await scrape(world.services), await scrape(replica)];
  expect(elsewhere).toBe(shown);
  const collection = world.config.eventsCollection;
  const declared = (await world.services.newestIndexReport())?.targets.flatMap((target) => target.declared);
  expect(declared?.length).toBeGreaterThan(5);
  for (const { name, state } of declared ?? []) {
    expect(state).toBe("ok");
    expect(shown).toMatch(new RegExp(`^tallyman_index_size_bytes\\{.*index="${name}"\\} [1-9]\\d*$`, "m"));
    expect(shown).toMatch(new RegExp(`^tallyman_index_contract_ok\\{.*index="${name}"\\} 1$`, "m"));
  }
  expect(shown).toMatch(
    new RegExp(`^tallyman_index_scans\\{engine="mongodb",target="${collection}",index="idx_tenant_date"\\} \\d+$`, "m"),
  );
  expect(shown).not.toContain("acme");
});

test("an array in the time of an event is a warning of the daily report for each index of that field, logged with the remedy", async () => {
  const { insertedId } = await world.events.insertOne({ tenant_id: "acme", created_at: [new Date(), new Date(0)] });
  const warned: unknown[] = [];
  const log = { error: () => expect.fail("no alert"), warn: (line: unknown) => warned.push(line) };
  const context = {
    reportIndexUsage: (given: AbortSignal) => world.services.reportIndexUsage(given),
    log,
    signal: new AbortController().signal,
  } as unknown as Parameters<typeof reportIndexUsage.run>[1];
  const result = await reportIndexUsage.run({ v: 1, slot: "2026-11-22T0415Z" }, context);
  await world.events.deleteOne({ _id: insertedId });
  expect(result).toMatchObject({ alerts: 0, warnings: 2 });
  const names = ["idx_tenant_date", "idx_tenant_user_date"];
  const verdictOf = (index: string) => {
    const sentence = expect.stringContaining(`dropIndex("${index}")`) as string;
    return { level: "warn", kind: "multikey", index, sentence };
  };
  expect(warned).toMatchObject([{ verdicts: names.map(verdictOf) }]);
  for (const name of names) await world.events.dropIndex(name);
  await world.services.keeper.ensure({ allowBlocking: true });
});

test("a dropped index is an alert in the next report, and --strict exits with 2", async () => {
  await world.pool.query("DROP INDEX idx_daily_usage_cache_date");
  await world.services.reportIndexUsage(new AbortController().signal);
  expect(await scrape(world.services)).toContain('index="idx_daily_usage_cache_date",state="missing"} 1');
  const stats = (...args: string[]) => run(world.env, "indexes", "stats", ...args);
  const [loose, strict] = [await stats("--json"), await stats("--strict", "--json", "--engine", "mongodb")];
  expect([loose.code, loose.stderr]).toEqual([0, ""]);
  const report = JSON.parse(loose.stdout) as StatsReport;
  expect(report.verdicts).toMatchObject([{ kind: "missing", index: "idx_daily_usage_cache_date", level: "warn" }]);
  expect(strict.code).toBe(0);

  await world.pool.query("ALTER TABLE daily_usage_cache DROP CONSTRAINT daily_usage_cache_pkey");
  const alert = await stats("--strict");
  expect(alert.code).toBe(2);
  expect(alert.stdout).toMatch(/^ALERT postgres public\.daily_usage_cache daily_usage_cache_pkey: .*but missing/m);
  expect(alert.stdout).toMatch(/^idx_tenant_date +declared +[\d.]+ k?B /m);
  expect(alert.stdout).toMatch(/1 alert\(s\), 1 warning\(s\)\.\n$/);
  expect((await stats()).code).toBe(0);
});

test("--watch prints one document a line until it is interrupted", async () => {
  const watch = start(world.env, ["indexes", "stats", "--watch", "1", "--json", "--engine", "postgres"]);
  await until("two documents", () => watch.stdout().split("\n").length > 2);
  watch.signal("SIGINT");
  const { code, stdout } = await watch.ended;
  expect(code).toBe(0);
  const reports = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StatsReport);
  expect(reports.length).toBeGreaterThan(1);
  expect(reports[0]?.at).not.toBe(reports[1]?.at);
});

test("maintain says what it would do, and does it", async () => {
  const maintain = (...args: string[]) => run(world.env, "indexes", "maintain", "--engine", "postgres", ...args);
  const planned = await maintain("--dry-run");
  expect(planned.code).toBe(0);
  expect(planned.stdout).toMatch(/0 to do; nothing was changed\.\n$/);
  const done = await maintain("--index", "idx_daily_usage_cache_date_cached_at", "--json");
  expect(done.code).toBe(0);
  const { entries } = JSON.parse(done.stdout) as MaintainReport;
  expect(entries).toMatchObject([{ action: "reindex", state: "done", why: "asked for; no baseline is known yet" }]);
  const wrong = await maintain("--index", "nothing");
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toMatch(
    /^usage: postgres [\w.]+:\d+\/\w+\ntallyman: No declared table of PostgreSQL has an index nothing\. See: tallyman indexes stats\n$/,
  );
});
