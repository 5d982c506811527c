/** Work on a partitioned table that is killed at each of its steps, under writers, with partitions that come and go. */
import { expect, test } from "vitest";
import type pg from "pg";
import { until } from "../../support/until.ts";
import { indexCatalog } from "./index-catalog.ts";
import { actions, type Keeper, ledgerRows, untilAlone, waiting } from "./keeper.ts";
import { makeEvents, onEvents, partition } from "./partitions.ts";
import { type Scratch, withEndlessPatience } from "./scratch.ts";
import { onStage } from "./stage.ts";

const ROWS = 100_000;
const wanted = onEvents({});
const other = onEvents({ columns: ["tenant", "day"] });

let own: Scratch;
let it: Keeper;
let blocker: pg.Client;
onStage(
  (stage) => ({ own, it, other: blocker } = stage),
  () => makeEvents(own.sql, ROWS),
);

const catalog = async () => (await indexCatalog(own.sql)).filter(({ table }) => table.startsWith("events"));
const lock = async (sql: string) => {
  await blocker.query("BEGIN");
  await blocker.query(sql);
};
/** Stops a run in a month's build: it waits for a transaction that wrote to that month. */
const holdBuild = (month: number) => lock(`UPDATE ${partition(month)} SET tenant = tenant WHERE id < 100`);

/** Writers through the whole table, each of which must get on; a failed statement fails the test. */
async function underWriters(work: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const written = [0, 0];
  const writers = written.map(async (_, writer) => {
    const client = await own.connect();
    for (let n = 0; !stop.signal.aborted; n += 1) {
      await client.query("INSERT INTO events VALUES ($1, date '2026-01-01' + $2::int, 'w', 'writer')", [n, n % 740]);
      await client.query("UPDATE events SET tenant = 'again' WHERE day = date '2026-01-01' + $1::int AND id = $2", [
        n % 740,
        n,
      ]);
      written[writer] = n + 1;
    }
    await client.end();
  });
  try {
    await work();
    const before = [...written];
    await until("two more writes of each", () =>
      Promise.resolve(written.every((count, at) => count >= (before[at] ?? 0) + 2) || undefined),
    );
  } finally {
    stop.abort();
    await Promise.all(writers);
  }
}

/** Kills the process and its backend as soon as that backend waits in such a statement. */
async function killIn(statement: string, ...args: readonly string[]): Promise<void> {
  const process = it.command(args.includes("--replace") ? other : wanted, ...args);
  const pid = await waiting(own.sql, statement);
  process.signal("SIGKILL");
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await process.ended;
  await untilAlone(own.sql);
  await blocker.query("ROLLBACK");
}

/** Each step of a build, and what makes it wait there. */
const STEPS: readonly (readonly [step: string, statement: string, hold: () => Promise<void>])[] = [
  ["a partition's build", "CREATE INDEX CONCURRENTLY", () => holdBuild(9)],
  [
    "the whole table's index",
    'CREATE INDEX "by_kind%" ON ONLY "public"."events" ',
    () => lock("LOCK TABLE ONLY events IN ROW EXCLUSIVE MODE"),
  ],
  [
    "a divided month's index",
    'CREATE INDEX % ON ONLY "public"."events_02"',
    () => lock("LOCK TABLE ONLY events_02 IN ROW EXCLUSIVE MODE"),
  ],
];

test.each(STEPS)(
  "a build that is killed in %s is finished by the next run, and leaves nothing after a rollback",
  async (_step, statement, hold) => {
    await underWriters(async () => {
      await hold();
      await killIn(statement, "ensure");
      const half = await catalog();
      expect((await it.ensure(wanted)).entries).toMatchObject([{ action: "created" }]);
      const rows = await catalog();
      expect(rows.filter(({ valid, name }) => !valid || name.includes("tallyman"))).toEqual([]);
      expect(half.filter(({ valid }) => valid).length).toBeGreaterThan(0);
    });
    expect(actions(await it.rollback(wanted))).toEqual({ by_kind: "dropped" });
    expect(await catalog()).toEqual([]);
  },
);

test.each(STEPS)("a build that is killed in %s is taken back by a rollback alone", async (_step, statement, hold) => {
  await own.sql.query("CREATE INDEX mine ON events_04 (kind, day)");
  const before = await catalog();
  await hold();
  await killIn(statement, "ensure");
  expect((await catalog()).length).toBeGreaterThan(before.length);
  await it.rollback(wanted);
  expect(await catalog()).toEqual(before);
  expect((await ledgerRows(own.sql)).at(-1)).toMatchObject({ state: "rolled_back" });
});

test.each([
  ...STEPS,
  ["the attachment of a partition", "ALTER INDEX % ATTACH PARTITION", () => Promise.resolve()] as const,
])(
  "a replacement that is killed in %s is finished, and its rollback gives back the catalog of before",
  async (step, statement, hold) => {
    await own.sql.query(
      "CREATE INDEX by_kind ON events (kind, day); COMMENT ON INDEX events_11_kind_day_idx IS 'eleven'",
    );
    const before = await catalog();
    await underWriters(async () => {
      if (step.startsWith("the attachment")) {
        await killInAttachment("ensure", "--replace");
      } else {
        await hold();
        await killIn(statement, "ensure", "--replace");
      }
      expect((await catalog()).filter(({ parent }) => parent === "by_kind")).toHaveLength(25);
      expect((await it.ensure(other, { replace: true })).entries).toMatchObject([{ action: "replaced" }]);
      const rows = await catalog();
      expect(rows.map(({ table }) => table)).toEqual(before.map(({ table }) => table));
      expect(rows.filter(({ valid, definition }) => !valid || !definition.includes("(tenant, day)"))).toEqual([]);
    });
    expect(actions(await it.rollback(other))).toEqual({ by_kind: "restored" });
    expect(await catalog()).toEqual(before);
  },
);

/** An index that is built waits for its attachment behind a reader that has used it. */
async function killInAttachment(...args: readonly string[]): Promise<void> {
  await holdBuild(12);
  const process = it.command(other, ...args);
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  const reader = await own.connect();
  await reader.query("BEGIN");
  await reader.query("SELECT FROM events_03 WHERE tenant = 'tenant 1' LIMIT 1");
  await blocker.query("ROLLBACK");
  const pid = await waiting(own.sql, "ALTER INDEX");
  process.signal("SIGKILL");
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await process.ended;
  await untilAlone(own.sql);
  await reader.query("ROLLBACK");
}

test.each([
  ["a partition's build", "CREATE INDEX CONCURRENTLY", () => holdBuild(9)],
  ["the drop of the newer index", "DROP INDEX", () => lock("LOCK TABLE ONLY events_24 IN ACCESS SHARE MODE")],
] as const)(
  "a rollback of a replacement that is killed in %s is finished by the same command",
  async (_step, statement, hold) => {
    await own.sql.query("CREATE INDEX by_kind ON events (kind, day)");
    const before = await catalog();
    const { runId } = await it.ensure(other, { replace: true });
    await hold();
    await killIn(statement, "rollback", "--run", runId, "--yes");
    await it.rollback(other, { runId });
    expect(await catalog()).toEqual(before);
  },
);

test("partitions that are added, detached and dropped during a build are no error and leave nothing behind", async () => {
  await holdBuild(9);
  const running = it.ensure(wanted);
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  // Before and after the one that is being built.
  await own.sql.query(
    "ALTER TABLE events DETACH PARTITION events_03; ALTER TABLE events DETACH PARTITION events_20; DROP TABLE events_04, events_21",
  );
  await own.sql.query("CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2029-01-01') TO ('2029-02-01')");
  await blocker.query("ROLLBACK");
  expect((await running).entries).toMatchObject([{ action: "created" }]);
  const rows = await catalog();
  expect(rows.filter(({ valid }) => !valid)).toEqual([]);
  expect(rows.filter(({ table }) => ["events_03", "events_20"].includes(table))).toEqual([]);
  expect(rows.filter(({ table }) => table === "events_25")).toHaveLength(1);
  await it.rollback(wanted);
  expect(await catalog()).toEqual([]);
});

test("a partition that is detached while its step waits for a lock makes that step void", async () => {
  await lock("LOCK TABLE ONLY events_02 IN ROW EXCLUSIVE MODE");
  const running = it.ensure(wanted);
  await waiting(own.sql, 'CREATE INDEX % ON ONLY "public"."events_02"');
  await blocker.query("ALTER TABLE events DETACH PARTITION events_02");
  await blocker.query("COMMIT");
  expect((await running).entries).toEqual([expect.objectContaining({ action: "created" })]);
  expect((await catalog()).filter(({ table, valid }) => !valid || table.startsWith("events_02"))).toEqual([]);
  await it.rollback(wanted);
  expect(await catalog()).toEqual([]);
});

test("a drop waits for a moment without readers' locks, and readers get on meanwhile", async () => {
  await it.ensure(wanted);
  await lock("SELECT FROM events_24 LIMIT 1");
  const lines: string[] = [];
  const running = it.rollback(wanted, {}, { onProgress: (line) => lines.push(line) });
  await until("word of it", () => Promise.resolve(lines.find((line) => line.includes("waiting for a moment"))));
  await own.sql.query("INSERT INTO events VALUES (1, '2026-01-05', 'x', 'y')");
  await blocker.query("ROLLBACK");
  expect(actions(await running)).toEqual({ by_kind: "dropped" });
  expect(await catalog()).toEqual([]);
});

test("a cancelled build takes back what it has built", async () => {
  await holdBuild(9);
  const stop = new AbortController();
  const running = it.ensure(wanted, { signal: stop.signal });
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  const report = await withEndlessPatience(async () => {
    stop.abort();
    await waiting(own.sql, "DROP INDEX CONCURRENTLY");
    await blocker.query("ROLLBACK");
    return running;
  });
  expect(report.entries).toMatchObject([{ action: "failed", detail: "cancelled" }]);
  expect(await catalog()).toEqual([]);
});
