import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { hostileEvents, hugeEvents } from "../../support/hostile.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { oracle } from "../../support/oracle.ts";
import { endProcesses, run, start, untilWorked } from "../../support/process.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event } from "../../support/sample.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { storedRows, type WholeRow } from "../../support/stored-rows.ts";
import { useWorld, useWorlds } from "../../support/world.ts";
import { arrived } from "./arrived.ts";

const RANGE = ["--from", "2026-03-01", "--to", "2026-03-05"];
const HOUR = 3_600;

interface Answer {
  audit: { id: string; deep: boolean; days: Record<string, number>; invisible: Record<string, number> | null };
  drift: { tenant: string; date: string; verdict: string; columns: string[] }[];
  pending: object[];
  repair: null | {
    run: { id: string; kind: string; state: string; days: Record<string, number> };
    refused: { tenant: string; date: string }[];
    remaining: { tenant: string; date: string }[];
  };
}

const world = useWorld("audit", { MONGODB_CONCURRENCY: "1" });
const openWorld = useWorlds("audit_hostile");
beforeAll(async () => {
  for (const tenant of ["acme", "bolt", "core"]) {
    await world.insert(arrived(daysOfEvents(tenant, "2026-03-01", 5, 4), HOUR));
  }
  await rebuild(world, { from: "2026-03-01", to: "2026-03-05", tenants: undefined });
});
afterEach(endProcesses);

async function audit(...args: string[]) {
  const ended = await run(world.env, "audit", ...RANGE, ...args, "--json");
  return { ...ended, ...(JSON.parse(ended.stdout) as Answer) };
}

const change = (set: string, tenant: string, date: string) =>
  world.pool.query(`UPDATE daily_usage_cache SET ${set} WHERE tenant_id = $1 AND date = $2`, [tenant, date]);

const recorded = async (id: string) =>
  (await world.pool.query<Record<string, unknown>>("SELECT * FROM usage_audit WHERE id = $1", [id])).rows[0];

/** What a repair must bring back: everything but the stamps, the revision and the place on disk. */
const content = ({ read_at: _, cached_at: __, revision: ___, ctid: ____, ...rest }: WholeRow) => rest;

test("a clean range leaves with 0, a row, and what was found", async () => {
  const { code, stderr, audit: done, drift, repair } = await audit("--deep", "--by", "ann");
  expect([code, stderr, drift, repair]).toEqual([0, "", [], null]);
  expect(done.days).toMatchObject({ checked: 15, deep: 15, equal: 15, drifted: 0, missing: 0 });
  expect(await recorded(done.id)).toMatchObject({
    slot: null,
    requested_by: "ann",
    days_checked: 15,
    days_equal: 15,
    drift: [],
    repair_run: null,
    invisible_events: done.invisible,
  });
});

test("drift leaves with 2, is listed, recorded and repaired whatever the hash says, and nothing else is touched", async () => {
  const before = await storedRows(world.pool);
  await change("aggregated_by_user = '{}'", "acme", "2026-03-02"); // its hash, its sums and its stamp stand
  await change("total_tokens = 1", "acme", "2026-03-03");
  await world.pool.query("DELETE FROM daily_usage_cache WHERE tenant_id = 'core' AND date = '2026-03-05'");

  const found = await audit("--deep");
  expect(found.code).toBe(2);
  expect(found.drift).toMatchObject([
    { tenant: "acme", date: "2026-03-02", verdict: "drifted", columns: ["aggregated_by_user"] },
    { tenant: "acme", date: "2026-03-03", verdict: "drifted", columns: ["total_tokens"] },
    { tenant: "core", date: "2026-03-05", verdict: "missing" },
  ]);
  expect((await recorded(found.audit.id))?.["drift"]).toEqual(found.drift);
  const shallow = await audit();
  expect([shallow.code, shallow.drift.map(({ date }) => date)]).toEqual([2, ["2026-03-03", "2026-03-05"]]);

  const text = await run(world.env, "audit", ...RANGE, "--tenant", "acme");
  expect([text.code, text.stderr]).toEqual([2, ""]);
  expect(text.stdout).toMatch(/^tenant +day +requests +tokens +cost +differs in\n/);
  expect(text.stdout).toMatch(/\nacme +2026-03-03 +4 +1 -> 62 +0\.004 +total_tokens\n/);
  expect(text.stdout).toContain("4 equal, 0 pending, 1 drifted, 0 missing");

  const repaired = await audit("--deep", "--repair");
  expect([repaired.code, repaired.stderr]).toEqual([0, ""]);
  expect(repaired.repair).toMatchObject({
    run: { kind: "repair", state: "done", days: { planned: 3, written: 3, refused: 0, failed: 0 } },
    refused: [],
    remaining: [],
  });
  expect((await recorded(repaired.audit.id))?.["repair_run"]).toBe(repaired.repair?.run.id);
  const after = await storedRows(world.pool);
  expect([...after.keys()]).toEqual([...before.keys()]);
  const touched = ["acme|2026-03-02", "acme|2026-03-03", "core|2026-03-05"];
  const contents = (rows: typeof after) => touched.map((key) => content(rows.get(key) as WholeRow));
  expect(contents(after)).toEqual(contents(before));
  const others = (rows: typeof after) => [...rows].filter(([key]) => !touched.includes(key));
  expect(others(after)).toEqual(others(before)); // the same rows at the same places on disk
  expect((await audit("--deep")).code).toBe(0);
});

test("a repair does not make a final day smaller, says so and leaves with 2", async () => {
  await world.insert(arrived(daysOfEvents("dent", "2026-03-01", 5, 4), HOUR));
  await rebuild(world, { from: "2026-03-01", to: "2026-03-05", tenants: ["dent"] });
  await world.events.deleteOne({ tenant_id: "dent", created_at: new Date("2026-03-04T12:00:00Z") });
  const before = await storedRows(world.pool);
  const { code, repair, drift } = await audit("--tenant", "dent", "--repair");
  expect([code, drift.length]).toEqual([2, 1]);
  expect(repair).toMatchObject({
    run: { state: "done", days: { planned: 1, written: 0, refused: 1 } },
    refused: [{ tenant: "dent", date: "2026-03-04" }],
    remaining: [{ tenant: "dent", date: "2026-03-04" }],
  });
  expect(await storedRows(world.pool)).toEqual(before);
  const text = await run(world.env, "audit", ...RANGE, "--tenant", "dent", "--repair");
  expect(text.stdout).toMatch(/dent +2026-03-04 +refused: fewer events are left/);
  await world.events.deleteMany({ tenant_id: "dent" });
  await world.pool.query("DELETE FROM daily_usage_cache WHERE tenant_id = 'dent'");
  await world.pool.query("DELETE FROM usage_tenant WHERE tenant_id = 'dent'");
});

test("a tenant that nobody knows, and a range in the future, are refused", async () => {
  const unknown = await run(world.env, "audit", ...RANGE, "--tenant", "nobody");
  expect([unknown.code, unknown.stdout]).toEqual([1, ""]);
  expect(unknown.stderr).toContain('--tenant "nobody": no event and no row found');
  const future = await run(world.env, "audit", "--from", "2026-03-01", "--to", "2999-01-01");
  expect([future.code, future.stdout]).toEqual([1, ""]);
});

test("Ctrl-C ends it cleanly while it waits for a permit, and nothing is recorded", async () => {
  const count = async () => (await world.pool.query("SELECT 1 FROM usage_audit")).rowCount;
  const before = await count();
  const gate = await PermitGate.create(world.env["DATABASE_URL"]);
  try {
    await gate.shut();
    const command = start(world.env, ["audit", ...RANGE]);
    await untilWorked("wait for the permit", async () => {
      const { rowCount } = await world.pool.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock($1, $2)%'",
      );
      return (rowCount ?? 0) > 0;
    });
    command.signal("SIGINT");
    const { code, stdout, stderr } = await command.ended;
    expect([code, stdout, stderr]).toEqual([4, "", "tallyman: interrupted; nothing was recorded.\n"]);
    expect(await count()).toBe(before);
  } finally {
    await gate.close();
  }
});

describe("hostile events", () => {
  test("audit clean after a rebuild, and the invisible among them are counted by reason", async () => {
    const timeZone = "America/Los_Angeles";
    const hostile = await openWorld({ USAGE_TIMEZONE: timeZone });
    const events = [
      ...hostileEvents({ seed: 9, from: "2026-03-07", days: 3, timeZone, perDay: 1_000 }),
      ...hugeEvents({ day: "2026-03-08", timeZone, kind: "clean", tenant: "huge" }),
      ...hugeEvents({ day: "2026-03-08", timeZone, kind: "hostile", tenant: "huge doubles" }),
      event({ tenant_id: "" }),
    ];
    await hostile.insert(arrived(events, HOUR));
    const range = { from: "2026-03-06", to: "2026-03-10" };
    const { days } = await rebuild(hostile, { ...range, tenants: undefined });
    expect(days.written).toBeGreaterThan(30);
    const said = oracle(events, { timeZone, now: new Date() });
    for (const flags of [[], ["--deep"]]) {
      const ended = await run(hostile.env, "audit", "--from", range.from, "--to", range.to, ...flags, "--json");
      const { audit: done, drift, pending } = JSON.parse(ended.stdout) as Answer;
      expect([ended.code, drift, pending]).toEqual([0, [], []]);
      expect(done.days).toMatchObject({ checked: days.planned, equal: days.planned });
      if (!done.deep) continue;
      const counts = Object.values(done.invisible ?? {});
      expect(counts.reduce((sum, n) => sum + n, 0)).toBe(said.invisible);
    }
  });
});
