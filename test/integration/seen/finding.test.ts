import { Decimal128, ObjectId, Timestamp } from "mongodb";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { explainNothing } from "../../../src/rebuild/explain-nothing.ts";
import { auditSample } from "../../../src/jobs/audit-sample.ts";
import { PAYLOAD_VERSION } from "../../../src/task/payload.ts";
import type { Finding } from "../../../src/usage/finding.ts";
import { addDays, dayOf } from "../../support/civil-day.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { run, startWorker } from "../../support/process.ts";
import { jobContext } from "../../support/job-context.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event, sampleEvents } from "../../support/sample.ts";
import { useWorlds, type World } from "../../support/world.ts";

const RANGE = ["--from", "2026-03-01", "--to", "2026-03-12"];
const DAYS = { from: "2026-03-01", to: "2026-03-12" };
const openWorld = useWorlds("finding");

async function findingOf(world: World, wish: object = {}): Promise<Finding | null> {
  const { days, state, finding } = await rebuild(world, { ...DAYS, ...wish });
  expect({ planned: days.planned, state }).toEqual({ planned: 0, state: "done" });
  return finding;
}

describe("a rebuild that finds no tenant-day", () => {
  test("says that the times are texts, with one _id, in the run, the list and the exit code", async () => {
    const world = await openWorld();
    const _id = new ObjectId("65f0c0ffee65f0c0ffee65f0");
    await world.insert([
      event({ _id, created_at: "2026-03-01T12:00:00Z" }),
      ...sampleEvents(48, () => ({ created_at: "2026-03-01" })),
      event({ created_at: 1_772_000_000_000 }),
    ]);
    const ended = await run(world.env, "rebuild", "--inline", ...RANGE, "--json");
    expect([ended.code, ended.stderr]).toEqual([2, ""]);
    const { run: made } = JSON.parse(ended.stdout) as { run: Run };
    expect(made).toMatchObject({ state: "done", days: { planned: 0 }, error: null });
    expect(made.finding).toMatchObject({
      kind: "invisible",
      collection: "token_usage_events",
      sampled: 50,
      invisible: [{ reason: "createdAtType", events: 50, found: "string" }],
      absent: [],
      days: null,
      error: null,
    });

    const shown = await run(world.env, "runs", "show", made.id);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(
      /^finding {4}no tenant-day: rebuilds cannot see 50 of the 50 sampled events of token_usage_events\.\n {11}50 with a time that is no date \(string\), for example _id ObjectId\("[\da-f]{24}"\)\.\n/m,
    );
    const listed = await run(world.env, "runs", "list");
    expect(listed.stdout).toMatch(/ events invisible$/m);
  });

  test("by a worker, or for the night, keeps the same in its row, and a watch exits with 2", async () => {
    const world = await openWorld();
    await world.insert(sampleEvents(3, () => ({ created_at: "2026-03-01" })));
    await startWorker(world.env);
    const watched = await run(world.env, "backfill", ...RANGE, "--watch", "--json");
    expect([watched.code, watched.stderr]).toEqual([2, ""]);
    const last = watched.stdout.trimEnd().split("\n").at(-1) as string;
    expect((JSON.parse(last) as { run: Run }).run).toMatchObject({ state: "done", finding: { kind: "invisible" } });
    const text = await run(world.env, "backfill", ...RANGE, "--watch");
    expect([text.code, text.stderr]).toEqual([2, ""]);
    expect(text.stdout).toContain("rebuilds cannot see 3 of the 3 sampled events");
    expect(await findingOf(world, { kind: "nightly" })).toMatchObject({ kind: "invisible", sampled: 3 });
  });

  test("names each reason with the type found, of all kinds of invisible events together", async () => {
    const world = await openWorld();
    const times = [new Timestamp({ t: 1, i: 1 }), "now", 5, Decimal128.fromString("1"), { at: 1 }, ["x"], true];
    await world.insert([
      ...times.map((created_at) => event({ created_at })),
      ...sampleEvents(4, () => ({ tenant_id: undefined })),
      ...sampleEvents(3, () => ({ tenant_id: 1.5 })),
      event({ tenant_id: ["acme"] }),
      event({ tenant_id: "" }),
      event({ tenant_id: "a\0b" }),
      event({ tenant_id: "x".repeat(513) }),
      event({ created_at: null }),
      event({ created_at: new Date("1999-12-31T00:00:00Z") }),
    ]);
    const finding = await findingOf(world);
    const counts = Object.fromEntries(finding?.invisible.map(({ reason, events }) => [reason, events]) ?? []);
    expect(counts).toEqual({
      createdAtType: 7,
      tenantMissing: 4,
      tenantType: 4,
      tenantEmpty: 1,
      tenantHoldsNul: 1,
      tenantTooLong: 1,
      createdAtMissing: 1,
      dayOutOfRange: 1,
    });
    expect(finding?.invisible.find(({ reason }) => reason === "tenantType")).toMatchObject({ found: "double" });
    expect(finding).toMatchObject({ kind: "invisible", sampled: 20, absent: [] });
  });

  test("says that the collection is empty, or on which days there are events, and that is no fault", async () => {
    const world = await openWorld();
    expect(await findingOf(world)).toMatchObject({ kind: "emptyCollection", sampled: 0, days: null });
    const empty = await run(world.env, "rebuild", "--inline", ...RANGE);
    expect([empty.code, empty.stderr]).toEqual([0, ""]);
    expect(empty.stdout).toContain("the collection token_usage_events has no event");

    await world.insert(daysOfEvents("acme", "2026-01-05", 3));
    expect(await findingOf(world)).toMatchObject({
      kind: "otherDays",
      sampled: 3,
      invisible: [],
      days: { from: "2026-01-05", to: "2026-01-07" },
    });
    const quiet = await run(world.env, "backfill", ...RANGE, "--tenant", "acme", "--dry-run");
    expect([quiet.code, quiet.stderr]).toEqual([0, ""]);
    expect(quiet.stdout).toContain("The tenants have events or rows from 2026-01-05 to 2026-01-07.");
  });

  test("finds the events of the range invisible although the tenant has visible ones on other days", async () => {
    const world = await openWorld();
    await world.insert(daysOfEvents("acme", "2026-01-05", 2, 600));
    await world.insert(sampleEvents(7, () => ({ created_at: "2026-03-02" })));
    await world.insert(sampleEvents(1_500, () => ({ tenant_id: "other", created_at: new Date("2026-02-01") })));
    // The newest thousand are the other tenant's: those of the tenant itself are looked for.
    expect(await findingOf(world, { tenants: ["acme"] })).toMatchObject({
      kind: "invisible",
      sampled: 7,
      invisible: [{ reason: "createdAtType", events: 7, found: "string" }],
      days: { from: "2026-01-05", to: "2026-01-06" },
    });
    expect(await findingOf(world, { tenants: ["other"] })).toMatchObject({ kind: "otherDays", sampled: null });
  });

  test("samples no more than a thousand events of a large collection, the newest", async () => {
    const world = await openWorld();
    await world.insert(sampleEvents(3_000, () => ({ tenant_id: undefined })));
    await world.insert(sampleEvents(1_000, () => ({ created_at: "2026-03-02" })));
    expect(await findingOf(world)).toMatchObject({
      sampled: 1_000,
      invisible: [{ reason: "createdAtType", events: 1_000 }],
    });
  });
});

describe("a name in EVENTS_FIELDS that no event has", () => {
  test("of the tenant or the time is named, beside the fields that events have", async () => {
    const world = await openWorld({ EVENTS_FIELDS: '{"tenant_id":"org.tenantId","created_at":"meta.at"}' });
    await world.insert(
      sampleEvents(5, () => ({
        tenant_id: undefined,
        org: { tenant_id: "acme", unit: 1 },
        meta: { time: new Date() },
      })),
    );
    const finding = await findingOf(world);
    expect(finding).toMatchObject({
      kind: "invisible",
      invisible: [{ reason: "tenantMissing", events: 5, found: "missing" }],
      absent: [
        { field: "tenant_id", path: "org.tenantId" },
        { field: "created_at", path: "meta.at" },
      ],
    });
    expect(finding?.present).toEqual(expect.arrayContaining(["org.tenant_id", "org.unit", "meta.time", "cost"]));

    const unknown = await run(world.env, "backfill", ...RANGE, "--tenant", "acme");
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('--tenant "acme": no event and no row found. Check the spelling');
    expect(unknown.stderr).toContain("None of the 5 has the field org.tenantId, read as tenant_id.");
    expect(unknown.stderr).toMatch(/The newest events have: .*org\.tenant_id/);
  });

  test("of a measure is named by a run that finds its days, which stays without fault", async () => {
    const world = await openWorld({ EVENTS_FIELDS: '{"cost":"usd","user_id":"who"}' });
    await world.insert(sampleEvents(5, () => ({ who: "alice" })));
    const made = await rebuild(world, DAYS);
    expect(made).toMatchObject({ state: "done", days: { planned: 1, written: 1 } });
    expect(made.finding).toMatchObject({ kind: "fieldAbsent", sampled: 5, absent: [{ field: "cost", path: "usd" }] });
    const shown = await run(world.env, "runs", "show", made.id);
    expect(shown.stdout).toContain("None of the 5 has the field usd, read as cost, so every row has it as 0.");
    const again = await run(world.env, "rebuild", "--inline", ...RANGE);
    expect([again.code, again.stderr]).toEqual([0, ""]);
    // one event that has it is enough
    await world.insert([event({ who: "bob", usd: 5 })]);
    expect((await rebuild(world, DAYS)).finding).toBeNull();
  });

  test("is not looked for where no name differs from the default", async () => {
    const world = await openWorld();
    await world.insert(sampleEvents(2, () => ({ cost: undefined, user_id: undefined })));
    expect(await rebuild(world, DAYS)).toMatchObject({ days: { written: 1 }, finding: null });
  });
});

describe("a dry run and an audit that find no tenant-day", () => {
  test("say what they saw and exit with 2 where events are invisible", async () => {
    const world = await openWorld();
    await world.insert(sampleEvents(50, () => ({ created_at: "2026-03-01" })));
    const dry = await run(world.env, "backfill", ...RANGE, "--dry-run");
    expect([dry.code, dry.stderr]).toEqual([2, ""]);
    expect(dry.stdout).toMatch(/^Nothing would change\.\nfinding {4}no tenant-day: rebuilds cannot see 50 of the 50 /);
    const json = await run(world.env, "backfill", ...RANGE, "--dry-run", "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ planned: 0, forecasts: [], finding: { kind: "invisible" } });

    const audit = await run(world.env, "audit", ...RANGE);
    expect([audit.code, audit.stderr]).toEqual([2, ""]);
    expect(audit.stdout).toMatch(/^finding {4}no tenant-day: rebuilds cannot see 50 of the 50 /m);
    const { rows } = await world.pool.query<{ finding: Finding }>("SELECT finding FROM usage_audit");
    expect(rows).toMatchObject([{ finding: { kind: "invisible", sampled: 50 } }]);

    const tenant = await run(world.env, "backfill", ...RANGE, "--tenant", "acme", "--dry-run");
    expect(tenant.code).toBe(1);
    expect(tenant.stderr).toContain("50 with a time that is no date (string)");
  });

  test("say nothing of it where they find a day", async () => {
    const world = await openWorld();
    await world.insert([...daysOfEvents("acme", "2026-03-01", 1), event({ created_at: "2026-03-01" })]);
    const dry = await run(world.env, "backfill", ...RANGE, "--dry-run", "--json");
    expect(JSON.parse(dry.stdout)).toMatchObject({ planned: 1, finding: null });
    await rebuild(world, DAYS);
    const audit = await run(world.env, "audit", ...RANGE, "--json");
    expect(audit.code).toBe(0);
    expect(JSON.parse(audit.stdout)).toMatchObject({ audit: { finding: null } });
    const today = dayOf("UTC", Date.now());
    await world.insert([event({ tenant_id: "young", created_at: new Date() })]);
    const young = await run(world.env, "audit", "--from", addDays(today, -1), "--to", today, "--json");
    expect(JSON.parse(young.stdout)).toMatchObject({ audit: { finding: null, notFinal: 1 } });
  });
});

describe("a server that returns no sample", () => {
  test("is a finding of its own, and no error", async () => {
    const world = await openWorld();
    await world.insert(sampleEvents(20_000, () => ({ created_at: "2026-03-01" })));
    const { invisible } = await world.services.source();
    const visible = { start: 0, end: Date.now() };
    const options = { maxTimeMs: 1, signal: new AbortController().signal };
    const sampled = { which: "tenantsWithoutDate", tenants: ["acme"] } as const;
    await expect(invisible.sample(sampled, visible, options)).rejects.toThrow(
      /^the server returned no sample within 1 ms: /,
    );

    // The index goes before the first read.
    const context = await jobContext(world.services);
    await world.events.dropIndexes();
    const finding = await explainNothing({ tenants: ["acme"], known: [] }, context);
    expect(finding).toMatchObject({ kind: "notSampled", sampled: null, invisible: [] });
    expect(finding.error).toMatch(/^the server returned no sample: /);
  });
});

test("a nightly rebuild of days that are all before the horizon says so, without a look at the events", async () => {
  const world = await openWorld({ EVENTS_RETENTION_DAYS: "30" });
  await world.insert(sampleEvents(2, () => ({ created_at: "2026-03-01" })));
  expect(await findingOf(world, { kind: "nightly" })).toMatchObject({ kind: "beforeHorizon", sampled: null });
  expect(await findingOf(world)).toMatchObject({ kind: "invisible" }); // who asks for these days himself is told more
});

test("the nightly audit that finds no day keeps why, and logs it where events are invisible", async () => {
  const world = await openWorld();
  const slot = "2026-11-21T0445Z";
  const lines: string[] = [];
  const log = pino({ level: "warn" }, { write: (line) => void lines.push(line) });
  const context = await jobContext(world.services, log);
  await auditSample.run({ v: PAYLOAD_VERSION, slot }, context);
  await world.insert(sampleEvents(2, () => ({ created_at: "2026-03-01" })));
  await auditSample.run({ v: PAYLOAD_VERSION, slot: "2026-11-22T0445Z" }, context);
  const { rows } = await world.pool.query<{ finding: Finding }>("SELECT finding FROM usage_audit ORDER BY id");
  expect(rows.map(({ finding }) => finding.kind)).toEqual(["emptyCollection", "invisible"]);
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { msg: "the audit found no tenant-day", finding: { kind: "invisible", sampled: 2 } },
  ]);
});
