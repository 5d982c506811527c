import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MongoClient } from "mongodb";
import { withMongoDatabase } from "../../../dev/servers.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { addDays } from "../../support/civil-day.ts";
import { contentHash } from "../../support/content-hash.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { openedOnce } from "../../support/opened.ts";
import { endProcesses, run } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";
import { changesIn, doRun } from "../fencing/runs.ts";
import { SteppedClock } from "../fencing/stepped-clock.ts";
import { tableDifferences } from "../fencing/table.ts";

const DAY = "2026-03-01";
const RANGE = { from: "2026-02-01", to: "2026-03-31" };

const world = useWorld("zero");
const clock = openedOnce(() => SteppedClock.create(world.env["DATABASE_URL"]));
beforeEach(async () => {
  await world.reset();
  await clock.ahead("0");
});
afterEach(endProcesses);

const rebuild = (wish: object = {}) => doRun(world.services, { ...RANGE, ...wish });
const rows = () => storedRows(world.pool);
const refusedDays = async (runId: string) =>
  (await (await world.services.runs()).problems(runId)).flatMap((chunk) => chunk.refusedDays);

const ZERO = {
  raw_data: expect.stringMatching(/"rows": \[\]/) as string,
  aggregated_by_user: "{}",
  aggregated_by_model: "{}",
  aggregated_by_provider: "{}",
  total_requests: "0",
  total_tokens: "0",
  prompt_tokens: "0",
  completion_tokens: "0",
  total_cost: "0",
  source_events: "0",
  malformed_events: "0",
};

describe("days without events", () => {
  test("are zero rows from a tenant's first day to its last, and no rows outside", async () => {
    const events = [
      ...daysOfEvents("acme", DAY, 1),
      ...daysOfEvents("acme", "2026-03-05", 1),
      ...daysOfEvents("beta", "2026-03-03", 1),
    ];
    await world.insert(events);
    expect((await rebuild()).days).toMatchObject({ planned: 6, written: 6 });
    const table = await rows();
    expect([...table.keys()]).toEqual([...[0, 1, 2, 3, 4].map((n) => `acme|${addDays(DAY, n)}`), "beta|2026-03-03"]);
    for (const date of ["2026-03-02", "2026-03-03", "2026-03-04"]) {
      const row = table.get(`acme|${date}`);
      expect(row).toMatchObject({ ...ZERO, state: "final", revision: "1" });
      expect(row && contentHash(row)).toBe(row?.content_hash);
    }
    expect(await tableDifferences(world, events)).toEqual([]);
    expect(await changesIn(world)).toHaveLength(6);
  });

  test("become rows with events when these come late, and more of them when the tenant's days go on", async () => {
    await world.insert([...daysOfEvents("acme", DAY, 1), ...daysOfEvents("acme", "2026-03-03", 1)]);
    await rebuild();
    const late = [event({ created_at: new Date("2026-03-02T12:00:00Z") }), ...daysOfEvents("acme", "2026-03-06", 1)];
    await world.insert(late);
    expect((await rebuild()).days).toMatchObject({ planned: 6, written: 4, unchanged: 2 });
    const table = await rows();
    expect(table.get("acme|2026-03-02")).toMatchObject({ source_events: "1", revision: "2" });
    expect(table.get("acme|2026-03-04")).toMatchObject(ZERO);
    expect(table.get("acme|2026-03-05")).toMatchObject(ZERO);
  });
});

describe("a day whose events were all deleted", () => {
  test.each([
    ["open", "2026-03-01T18:00:00Z"],
    ["settling", "2026-03-03T20:00:00Z"],
  ])("becomes a zero row while it is %s", async (state, at) => {
    await clock.at(at);
    await world.insert(daysOfEvents("acme", DAY, 1, 3));
    await rebuild();
    await world.events.deleteMany({});
    expect((await rebuild()).days).toMatchObject({ planned: 1, written: 1, refused: 0 });
    expect((await rows()).get(`acme|${DAY}`)).toMatchObject({ ...ZERO, state, revision: "2" });
  });

  test("stays as it is once it is final, and becomes a zero row where a run may shrink it", async () => {
    await world.insert(daysOfEvents("acme", DAY, 3, 2));
    await rebuild();
    const before = await rows();
    await world.events.deleteMany({ created_at: { $lt: new Date("2026-03-03T00:00:00Z") } }); // the first two days
    const refused = await rebuild();
    expect(refused).toMatchObject({ state: "done", days: { planned: 3, written: 0, unchanged: 1, refused: 2 } });
    const counts = { tenant: "acme", reason: "fewer events", storedEvents: 2, freshEvents: 0 };
    expect(await refusedDays(refused.id)).toEqual([
      { ...counts, date: "2026-03-01" },
      { ...counts, date: "2026-03-02" },
    ]);
    for (const date of ["2026-03-01", "2026-03-02"]) {
      expect((await rows()).get(`acme|${date}`)).toEqual(before.get(`acme|${date}`));
    }

    const allowed = await rebuild({ allowShrink: true, reason: "deleted on request" });
    expect(allowed.days).toMatchObject({ planned: 3, written: 2, refused: 0 });
    const made = {
      run_id: allowed.id,
      revision: 2,
      old_requests: "2",
      new_requests: "0",
      new_tokens: "0",
      new_cost: "0",
    };
    expect((await changesIn(world)).slice(3)).toMatchObject([made, made]);
    for (const date of ["2026-03-01", "2026-03-02"]) {
      expect((await rows()).get(`acme|${date}`)).toMatchObject({ ...ZERO, state: "final", revision: "2" });
    }
  });
});

describe("a tenant that nobody knows", () => {
  const known = async () => {
    const all = "SELECT tenant_id FROM usage_tenant UNION ALL SELECT tenant_id FROM daily_usage_cache";
    return (await world.pool.query<{ tenant_id: string }>(all)).rows;
  };

  test("gets no row and is no tenant afterwards, whoever names it", async () => {
    expect(await rebuild({ tenants: ["ghost"] })).toMatchObject({
      state: "done",
      days: { planned: 0, written: 0, refused: 0, failed: 0 },
      chunks: { planned: 0 },
    });
    expect(await known()).toEqual([]);
    const named = await run(world.env, "rebuild", "--inline", "--from", DAY, "--to", DAY, "--tenant", "ghost");
    expect([named.code, named.stdout]).toEqual([1, ""]);
    expect(named.stderr).toContain('"ghost"');
    expect(await known()).toEqual([]);
  });

  test("is left out beside one that is known", async () => {
    await world.insert(daysOfEvents("acme", DAY, 1));
    expect((await rebuild({ tenants: ["acme", "ghost"] })).days).toMatchObject({ planned: 1, written: 1 });
    expect(await known()).toEqual([{ tenant_id: "acme" }, { tenant_id: "acme" }]);
  });
});

test("a rebuild from a wrong, empty database leaves every final row as it was, lists them all, and leaves with 2", async () => {
  const tenants = ["acme", "beta", "gamma"];
  await world.insert(tenants.flatMap((tenant) => daysOfEvents(tenant, "2026-02-03", 50, 2)));
  expect((await rebuild()).days).toMatchObject({ planned: 150, written: 150 });
  const before = await rows();

  const wrong = withMongoDatabase(world.env["MONGODB_URI"] as string, `${world.events.dbName}_wrong`);
  const client = new MongoClient(wrong);
  try {
    await client.db().collection(world.events.collectionName).createIndex({ tenant_id: 1, created_at: -1 });
    const command = ["rebuild", "--inline", "--from", RANGE.from, "--to", RANGE.to, "--json"];
    const { code, stdout, stderr } = await run({ ...world.env, MONGODB_URI: wrong }, ...command);
    expect([code, stderr]).toEqual([2, ""]);
    const answer = (JSON.parse(stdout) as { run: Run }).run;
    expect(answer).toMatchObject({ state: "done", days: { planned: 150, written: 0, unchanged: 0, refused: 150 } });
    expect(await rows()).toEqual(before);
    const listed = await refusedDays(answer.id);
    expect(listed.map(({ tenant, date }) => `${tenant}|${date}`).sort()).toEqual([...before.keys()].sort());
    expect(listed.every(({ storedEvents, freshEvents }) => storedEvents === 2 && freshEvents === 0)).toBe(true);
  } finally {
    await client.db().dropDatabase();
    await client.close();
  }
});
