import { expect, test } from "vitest";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { daysWithUser, eraseKept, keptRows } from "../../../src/db/postgres/cache/erase.ts";
import { run, start, untilWorked, type Ended } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorldForEach } from "../../support/world.ts";

const FROM = "2026-03-01";
const RANGE = ["--from", FROM, "--to", "2026-03-03"];
const USER = "Jane Doe <jane@example.com>";

const world = useWorldForEach("erase");

const say = (...args: string[]): Promise<Ended> => run(world.env, ...args);
const rebuild = (...args: string[]) => say("rebuild", "--inline", "--json", ...RANGE, ...args);
const erase = (...args: string[]) => say("erase", "--json", "--tenant", "acme", "--user", USER, ...args);

interface Printed {
  run: { id: string; days: Record<string, number> };
  problems: { refusedDays: { date: string; reason: string }[] }[];
}
const printed = ({ stdout }: Ended) => JSON.parse(stdout) as Printed;
const erased = ({ stdout }: Ended) =>
  JSON.parse(stdout) as { erased: number; kept: number; runs: string[]; days: string[] };

/** Three days of two tenants; in acme the user has one event of the first two days. */
async function usage(): Promise<void> {
  await world.insert([
    ...daysOfEvents("acme", FROM, 3, 2),
    ...daysOfEvents("beta", FROM, 3),
    event({ user_id: USER, created_at: new Date("2026-03-01T09:00:00Z") }),
    event({ user_id: USER, created_at: new Date("2026-03-02T09:00:00Z") }),
  ]);
}

/** Rows with the user, and two runs that keep rows with the user. */
async function rowsAndKeptRows(): Promise<string[]> {
  await usage();
  expect((await rebuild()).code).toBe(0);
  const ids: string[] = [];
  for (let time = 0; time < 2; time++) {
    await world.insert([...daysOfEvents("acme", FROM, 3), ...daysOfEvents("beta", FROM, 3)]);
    const again = await rebuild("--reason", `again ${time}`);
    expect(again.code).toBe(0);
    ids.push(printed(again).run.id);
  }
  return ids;
}

/** Every place in the database, statistics included, where a text holds the user's id or a part of it. */
async function placesOf(text: string): Promise<string[]> {
  await world.pool.query("VACUUM (ANALYZE) daily_usage_cache, usage_undo");
  const { rows: columns } = await world.pool.query<{ place: string; query: string }>(
    `SELECT format('%I.%I.%I', table_schema, table_name, column_name) AS place,
            format('SELECT count(*)::int AS n FROM %I.%I WHERE strpos(%I::text, $1) > 0', table_schema, table_name, column_name) AS query
       FROM information_schema.columns
      WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
     UNION ALL
     SELECT 'pg_stats.' || c, format('SELECT count(*)::int AS n FROM pg_stats WHERE strpos(%I::text, $1) > 0', c)
       FROM unnest(ARRAY['most_common_vals', 'histogram_bounds', 'most_common_elems']) AS c`,
  );
  expect(columns.length).toBeGreaterThan(100);
  const found: string[] = [];
  for (const { place, query } of columns) {
    const { rows } = await world.pool.query<{ n: number }>(query, [text]);
    if ((rows[0]?.n ?? 0) > 0) found.push(place);
  }
  return found;
}

test("the procedure of the runbook leaves nothing of a user in any text of the database", async () => {
  const runs = await rowsAndKeptRows();
  expect(await placesOf("jane@")).toEqual(
    expect.arrayContaining(["public.daily_usage_cache.aggregated_by_user", "public.usage_undo.replaced"]),
  );
  const looked = await erase();
  expect([looked.code, erased(looked)]).toMatchObject([2, { erased: 0, kept: 4, days: ["2026-03-01", "2026-03-02"] }]);

  // 1. the events go; the rows are protected; the run that may make them smaller keeps the old ones
  await world.events.deleteMany({ tenant_id: "acme", user_id: USER });
  const refused = await rebuild("--tenant", "acme");
  expect([refused.code, printed(refused).run.days]).toMatchObject([2, { refused: 2, written: 0 }]);
  const shrunk = await rebuild("--tenant", "acme", "--allow-shrink", "--reason", "erasure 4711");
  expect([shrunk.code, printed(shrunk).run.days]).toMatchObject([0, { written: 2 }]);
  expect(await placesOf("jane@")).toEqual(["public.usage_undo.replaced"]);

  // 2. the kept rows go
  const done = await erase("--yes");
  expect([done.code, erased(done).erased, erased(done).days]).toEqual([0, 6, []]);
  expect(new Set(erased(done).runs)).toEqual(new Set([...runs, printed(shrunk).run.id]));
  expect(await placesOf("jane@")).toEqual([]);
  expect((await erase()).code).toBe(0);

  // 3. an undo brings nothing of the user back, says so, and restores what it may
  await world.pool.query(
    `UPDATE usage_undo o SET revision = c.revision, content_hash = c.content_hash FROM daily_usage_cache c
      WHERE o.erased_at IS NOT NULL AND c.tenant_id = o.tenant_id AND c.date = o.date`, // as the run does if it is resumed
  );
  const before = await storedRows(world.pool);
  const undone = await say("runs", "undo", "--json", printed(shrunk).run.id);
  expect(undone.code).toBe(2);
  expect(printed(undone).problems[0]?.refusedDays).toMatchObject([
    { date: "2026-03-01", reason: "kept row erased" },
    { date: "2026-03-02", reason: "kept row erased" },
  ]);
  expect(await storedRows(world.pool)).toEqual(before);
  const text = await say("runs", "undo", printed(shrunk).run.id);
  expect(text.stdout).toMatch(/acme +2026-03-01 +kept row erased /);
  const older = await say("runs", "undo", "--json", runs[1] as string);
  expect([older.code, printed(older).run.days]).toMatchObject([2, { planned: 6, written: 4, refused: 2 }]);
  expect(await placesOf("jane@")).toEqual([]);
});

test("without --yes nothing is erased, and other users and tenants keep their rows", async () => {
  await rowsAndKeptRows();
  const kept = async () => {
    const sql = "SELECT run_id, tenant_id, date, replaced, erased_at FROM usage_undo ORDER BY 1, 2, 3";
    return (await world.pool.query<{ tenant_id: string; date: unknown; erased_at: Date | null }>(sql)).rows;
  };
  const before = await kept();
  expect((await erase()).code).toBe(2);
  expect(await kept()).toEqual(before);
  const ended = await erase("--yes");
  expect([ended.code, ended.stderr]).toEqual([2, ""]); // the rows themselves still hold the user
  const after = await kept();
  expect(after.filter(({ erased_at }) => erased_at !== null)).toHaveLength(4);
  expect(after.filter(({ erased_at }) => erased_at === null)).toEqual(
    before.filter((_, number) => after[number]?.erased_at === null),
  );
  const text = await say("erase", "--tenant", "acme", "--user", USER);
  expect([text.code, text.stdout.split("\n").slice(0, 2)]).toEqual([
    2,
    [
      "No run keeps a row with this user.",
      "2 rows of daily_usage_cache still hold this user, from 2026-03-01 to 2026-03-02. Change or delete the user's events, then:",
    ],
  ]);
});

test("a user who is only in the finest grain of a kept row is found too", async () => {
  await rowsAndKeptRows();
  await world.pool.query(
    "UPDATE usage_undo SET replaced = jsonb_set(replaced, '{aggregated_by_user}', '{\"__other__\": {}}')",
  );
  const done = await erase("--yes");
  expect(erased(done).erased).toBe(4);
});

test("events that get another user keep the totals, and need no --allow-shrink", async () => {
  await usage();
  expect((await rebuild()).code).toBe(0);
  const total = "SELECT sum(total_requests) AS requests, sum(total_cost) AS cost FROM daily_usage_cache";
  const before = (await world.pool.query(total)).rows as unknown;
  await world.events.updateMany({ tenant_id: "acme", user_id: USER }, { $unset: { user_id: "" } });
  const again = await rebuild("--tenant", "acme", "--reason", "erasure 4712");
  expect([again.code, printed(again).run.days]).toMatchObject([0, { written: 2, refused: 0 }]);
  expect((await world.pool.query(total)).rows).toEqual(before);
  expect((await erase("--yes")).code).toBe(0);
  expect(await placesOf("jane@")).toEqual([]);
});

test("an undo that restores a row at this moment ends first, so the row is found afterwards", async () => {
  const runs = await rowsAndKeptRows();
  await world.events.deleteMany({ tenant_id: "acme", user_id: USER });
  const shrunk = await rebuild("--tenant", "acme", "--allow-shrink", "--reason", "erasure 4711");
  expect(runs).not.toContain(printed(shrunk).run.id);
  const who = { tenant: "acme", user: USER };
  expect(await daysWithUser(await world.services.pool(), who)).toEqual([]);

  const waiting = async (kind: string) => {
    const sql = "SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND locktype = $1";
    return (await world.pool.query<{ n: number }>(sql, [kind])).rows[0]?.n === 1;
  };
  const holder = await world.pool.connect();
  let isErased = false;
  let undone: Ended;
  try {
    await holder.query("SELECT pg_advisory_lock(x'74616c6c'::int, 0)"); // the last thing that a write waits for
    const undo = start(world.env, ["runs", "undo", "--json", printed(shrunk).run.id]);
    await untilWorked("an undo that has restored its rows", () => waiting("advisory"));
    const erasing = eraseKept(await world.services.pool(), await keptRows(world.pool, who));
    void erasing.then(() => (isErased = true));
    await untilWorked("the erasing", async () => isErased || (await waiting("transactionid")));
    expect(isErased).toBe(false);
    await holder.query("SELECT pg_advisory_unlock_all()");
    undone = await undo.ended;
    await erasing;
  } finally {
    holder.release(true);
  }
  expect([undone.code, printed(undone).run.days]).toMatchObject([0, { written: 2 }]);
  expect(await daysWithUser(await world.services.pool(), who)).toEqual(["2026-03-01", "2026-03-02"]);
  expect(await keptRows(world.pool, who)).toEqual([]);
});

test("nothing is erased while a run may keep rows of the tenant, and wrong use is refused", async () => {
  const [id] = await rowsAndKeptRows();
  await world.pool.query(
    "UPDATE usage_run SET state = 'running', finished_at = NULL, tenants = '{acme}' WHERE id = $1",
    [id],
  );
  const busy = await erase("--yes");
  expect([busy.code, busy.stderr]).toEqual([
    3,
    `tallyman: Run ${id} may still keep or restore rows of this tenant. Wait for its end, or cancel it: tallyman runs cancel ${id}\n`,
  ]);
  expect((await erase()).code).toBe(2); // looking is no harm
  for (const user of ["", "__unknown__", "__other__"]) {
    expect((await say("erase", "--tenant", "acme", "--user", user)).code).toBe(1);
  }
  expect((await say("erase", "--tenant", "acme")).code).toBe(1);
});
