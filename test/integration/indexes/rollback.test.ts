/** A rollback removes what its run created, and nothing else. */
import { expect, test } from "vitest";
import type pg from "pg";
import { EXIT, UsageError } from "../../../src/errors.ts";
import type { Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import {
  actions,
  EVENTS,
  type Keeper,
  ledgerRows,
  onCollection,
  onTable,
  openReader,
  untilAlone,
  validity,
  waiting,
} from "./keeper.ts";
import {
  FORGET,
  awayFromMonthEnd,
  cacheIndexes,
  openSnapshot,
  openWriter,
  type Scratch,
  withEndlessPatience,
} from "./scratch.ts";
import { onStage } from "./stage.ts";

const BY_DAY = "CREATE INDEX by_day ON daily_usage_cache (date)";
const late: Partial<PostgresIndex> = { name: "late", phase: 2, columns: ["cached_at"] };
const broken: Partial<PostgresIndex> = { name: "broken", phase: 3, columns: [{ expr: "no_such(date)" }] };

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage((stage) => ({ own, it, other } = stage));

const both = (...indexes: readonly Partial<PostgresIndex>[]): Manifest => ({
  ...onCollection({}, { name: "by_b", keys: [["b", 1]] }),
  ...onTable(...indexes),
});
const events = () => own.mongo.collection(EVENTS);
const eventIndexes = async () => (await events().listIndexes().toArray()).map(({ name }) => name as string);
const collections = async () =>
  (await own.mongo.listCollections().toArray()).map(({ name }) => name).filter((name) => !name.startsWith("_"));

test("a rollback drops what the run created; adopted and undeclared indexes stay, in both databases", async () => {
  await own.sql.query(BY_DAY);
  await own.sql.query("CREATE INDEX theirs ON daily_usage_cache (read_at)");
  await events().createIndex({ a: 1 }, { name: "by_a" });
  await events().createIndex({ z: 1 }, { name: "theirs" });
  const before = [await cacheIndexes(own.sql), await events().listIndexes().toArray()];
  const wanted = both({}, late);
  const { entries } = await it.ensure(wanted);
  expect(actions(entries)).toEqual({ by_a: "present", by_b: "created", by_day: "present", late: "created" });
  expect(actions(await it.plan(wanted))).toEqual({ by_b: "drop", late: "drop" });
  expect(actions(await it.rollback(wanted))).toEqual({ by_b: "dropped", late: "dropped" });
  expect([await cacheIndexes(own.sql), await events().listIndexes().toArray()]).toEqual(before);
  // Neither later, nor by name, nor all of every run.
  expect(await it.rollback(wanted, { all: true })).toEqual([]);
  expect(await it.rollback(wanted, { index: "by_day" })).toEqual([]);
});

test("an index that somebody rebuilt or changed is not the one the run made, so it is kept", async () => {
  for (const [made, reason] of [
    [BY_DAY, "somebody else dropped it"],
    ["CREATE INDEX by_day ON daily_usage_cache (date, tenant_id)", "another definition"],
  ] as const) {
    const { runId } = await it.ensure(onTable({}));
    await own.sql.query("DROP INDEX by_day");
    await own.sql.query(made);
    const before = await cacheIndexes(own.sql);
    expect(await it.rollback(onTable({}), { runId })).toMatchObject([
      { action: "kept", detail: expect.stringContaining(reason) as string },
    ]);
    expect(await cacheIndexes(own.sql)).toEqual(before);
    await own.sql.query(`DROP INDEX by_day; ${FORGET}`);
  }
});

test("an older window is not retired while it has the current bound, nor if somebody made it again", async () => {
  const rolling = { column: "cached_at", keep: "1 month", rotate: "monthly" } as const;
  const windows = onTable({ name: "recent", columns: ["tenant_id"], rolling });
  await awayFromMonthEnd(own.sql, async () => {
    await it.ensure(windows);
    const now = Object.keys(await validity(own.sql))[0] ?? "";
    // As if the window had been built a month ago for a longer period, beside an index that the keeper did not build.
    await own.sql.query(`ALTER INDEX ${now} RENAME TO recent__2000_02`);
    await own.sql.query("UPDATE public.tallyman_index_ledger SET name = 'recent__2000_02'");
    await own.sql.query(`INSERT INTO public.tallyman_index_ledger
    SELECT run_id, target, 'recent__2000_01', project, intent, state, fingerprint, definition, previous, oid, error,
           baseline_bytes, baseline_rows, started_at, finished_at FROM public.tallyman_index_ledger`);
    await own.sql.query(
      "CREATE INDEX recent__2000_01 ON daily_usage_cache (tenant_id) WHERE cached_at >= '2000-01-01Z'",
    );
    expect((await it.ensure(windows)).entries).toMatchObject([
      { name: now, action: "present", detail: "as recent__2000_02" },
      { name: "recent__2000_01", action: "present", detail: expect.stringMatching(/does not drop/) as string },
    ]);
    expect(await validity(own.sql)).toEqual({ recent__2000_01: true, recent__2000_02: true });
  });
});

test("the keeper's index is recognised after REINDEX CONCURRENTLY, which gives it another oid", async () => {
  await it.ensure(onTable({}));
  const before = (await cacheIndexes(own.sql)).find(({ name }) => name === "by_day")?.oid;
  await own.sql.query("REINDEX INDEX CONCURRENTLY by_day");
  expect((await cacheIndexes(own.sql)).find(({ name }) => name === "by_day")?.oid).not.toBe(before);
  expect(actions(await it.rollback(onTable({})))).toEqual({ by_day: "dropped" });
  expect(await validity(own.sql)).toEqual({});
});

test("an index that the run made is dropped even if its declaration was changed or removed since", async () => {
  const first = onTable({ where: "kind IN ('P', 'Q')" });
  for (const now of [
    onTable({ where: "kind = 'Q' OR kind = 'P'" }),
    onTable({ columns: ["cached_at"] }),
    onTable(late),
    { ...onTable(), postgres: { "public.other": [] } },
  ]) {
    const { runId } = await it.ensure(first);
    await it.ensure(onTable({ where: "kind = 'Q' OR kind = 'P'" }));
    expect(actions(await it.rollback(now, { runId }))).toEqual({ by_day: "dropped" });
    expect(await validity(own.sql)).toEqual({});
  }
});

test("somebody else's equal index is not claimed for an interrupted build", async () => {
  await openWriter(other);
  const first = it.command(onTable({}), "ensure");
  const pid = await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  first.signal("SIGKILL");
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await untilAlone(own.sql);
  await other.query("ROLLBACK");
  await own.sql.query("DROP INDEX by_day");
  await own.sql.query("CREATE INDEX theirs ON daily_usage_cache (date)");
  await own.sql.query("COMMENT ON INDEX theirs IS 'ours, do not touch'");
  expect((await it.ensure(onTable({}))).entries).toMatchObject([{ action: "present", detail: "as theirs" }]);
  const { rows } = await own.sql.query("SELECT obj_description('theirs'::regclass) AS text");
  expect(rows).toEqual([{ text: "ours, do not touch" }]);
  await it.rollback(onTable({}), { all: true });
  expect(await validity(own.sql)).toEqual({ theirs: true });
});

test("a rollback of a dropped index closes its ledger entry, so that somebody's later index of that name is safe", async () => {
  const wanted = { ...onCollection({}), ...onTable({}) };
  const { runId } = await it.ensure(wanted);
  await own.sql.query("DROP INDEX by_day");
  await events().insertOne({ a: 1 });
  await events().dropIndex("by_a");
  expect(actions(await it.rollback(wanted, { runId }))).toEqual({ by_a: "gone", by_day: "gone", "": "kept" });
  await own.sql.query(BY_DAY);
  await events().createIndex({ a: 1 }, { name: "by_a" });
  expect(actions(await it.rollback(wanted, { all: true }))).toEqual({ "": "kept" });
  expect(await validity(own.sql)).toEqual({ by_day: true });
  expect(await eventIndexes()).toEqual(["_id_", "by_a"]);
});

test("a collection that the run created is dropped if it is empty", async () => {
  const wanted = onCollection({});
  await it.ensure(wanted);
  expect(actions(await it.rollback(wanted))).toEqual({ by_a: "dropped", "": "dropped" });
  expect(await collections()).toEqual([]);

  await it.ensure(wanted);
  await events().createIndex({ z: 1 }, { name: "theirs" });
  expect(await it.rollback(wanted)).toMatchObject([
    { action: "dropped" },
    { name: "", action: "kept", detail: "it has the index theirs" },
  ]);
  await events().dropIndex("theirs");
  await events().insertOne({ a: 1 });
  expect(await it.rollback(wanted, { all: true })).toMatchObject([
    { name: "", action: "kept", detail: "it is not empty" },
  ]);
  expect(await events().countDocuments()).toBe(1);

  // One that was there is none of its business.
  await own.mongo.dropDatabase();
  await own.mongo.createCollection(EVENTS);
  await it.ensure(wanted);
  expect(actions(await it.rollback(wanted))).toEqual({ by_a: "dropped" });
  expect(await collections()).toEqual([EVENTS]);
});

test("an index that a foreign key or a replica identity needs by now is kept", async () => {
  const unique = onTable({ unique: true, columns: ["date", "tenant_id", "kind"] });
  await it.ensure(unique);
  await own.sql.query(`CREATE TABLE part (d date, t text COLLATE "C", k varchar(20),
    FOREIGN KEY (d, t, k) REFERENCES daily_usage_cache (date, tenant_id, kind))`);
  expect(await it.rollback(unique)).toMatchObject([{ action: "kept", detail: "a foreign key needs it" }]);
  await own.sql.query("DROP TABLE part");
  await own.sql.query("UPDATE daily_usage_cache SET kind = 'P' WHERE kind IS NULL");
  await own.sql.query("ALTER TABLE daily_usage_cache ALTER kind SET NOT NULL");
  await own.sql.query("ALTER TABLE daily_usage_cache REPLICA IDENTITY USING INDEX by_day");
  expect(await it.rollback(unique)).toMatchObject([{ action: "kept", detail: "a replica identity needs it" }]);
  await own.sql.query("ALTER TABLE daily_usage_cache REPLICA IDENTITY DEFAULT");
  expect(actions(await it.rollback(unique))).toEqual({ by_day: "dropped" });
});

test("an index that the server refuses to drop is kept with the server's message, and can be dropped later", async () => {
  await it.ensure(onTable({}, late));
  await own.sql.query(`
    CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN IF current_query() LIKE '%late%' THEN RAISE 'not on a Friday'; END IF; END $$;
    CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('DROP INDEX') EXECUTE FUNCTION refuse()`);
  const undone = await it.rollback(onTable({}, late));
  await own.sql.query("DROP EVENT TRIGGER refuse; DROP FUNCTION refuse");
  expect(undone).toMatchObject([
    { name: "late", action: "kept", detail: "not on a Friday" },
    { name: "by_day", action: "dropped" },
  ]);
  expect((await ledgerRows(own.sql)).find(({ name }) => name === "late")).toMatchObject({
    intent: "create",
    state: "done",
  });
  expect(actions(await it.rollback(onTable({})))).toEqual({ late: "dropped" });
});

test("a rollback takes the newest run, a run by id, one index, one phase, or all", async () => {
  const wanted = onTable({}, late);
  const first = await it.ensure(onTable({}));
  await it.ensure(wanted);
  expect(actions(await it.rollback(wanted))).toEqual({ late: "dropped" });
  await it.ensure(wanted);
  expect(actions(await it.rollback(wanted, { runId: first.runId }))).toEqual({ by_day: "dropped" });
  await it.ensure(wanted);
  expect(actions(await it.rollback(wanted, { index: "late" }))).toEqual({ late: "dropped" });
  await it.ensure(wanted);
  const { code, stdout } = await it.command(wanted, "rollback", "--all", "--phase", "1", "--yes").ended;
  expect(actions((JSON.parse(stdout) as { undone: { name: string; action: string }[] }).undone)).toEqual({
    late: "kept",
    by_day: "dropped",
  });
  expect(code).toBe(EXIT.found);
  expect(actions(await it.rollback(wanted, { all: true }))).toEqual({ late: "dropped" });
  await expect(it.plan(wanted, { runId: first.runId })).rejects.toThrow(UsageError);
});

test("without a terminal to ask at, rollback says so, exits with 1 and changes nothing", async () => {
  await it.ensure(both({}));
  const before = [await cacheIndexes(own.sql), await eventIndexes(), await ledgerRows(own.sql)];
  const { code, stdout, stderr } = await it.command(both({}), "rollback").ended;
  expect([code, stdout]).toEqual([EXIT.wrongUse, ""]);
  expect(stderr).toMatch(/--yes/);
  expect([await cacheIndexes(own.sql), await eventIndexes(), await ledgerRows(own.sql)]).toEqual(before);
  expect((await it.command(both({}), "rollback", "--yes").ended).code).toBe(EXIT.done);
  const again = await it.command(both({}), "rollback", "--yes").ended;
  expect([again.code, JSON.parse(again.stdout)]).toEqual([EXIT.done, { undone: [] }]);
});

test("all or nothing: after a failed index everything that the run created is dropped, and only that", async () => {
  await own.sql.query(BY_DAY);
  await it.ensure(onTable({ name: "earlier", columns: ["read_at"] }));
  const before = [await cacheIndexes(own.sql)];
  const wanted = both({}, { name: "earlier", columns: ["read_at"] }, late, broken);
  const report = await it.ensure(wanted, { allOrNothing: true });
  expect(actions(report.entries)).toEqual({
    by_a: "created",
    by_b: "created",
    by_day: "present",
    earlier: "present",
    late: "created",
    broken: "failed",
  });
  expect(report.ok).toBe(false);
  expect(actions(report.undone ?? [])).toEqual({ late: "dropped", by_b: "dropped", by_a: "dropped", "": "dropped" });
  expect([await cacheIndexes(own.sql)]).toEqual(before);
  expect(await collections()).toEqual([]);
  await expect(it.plan(wanted, { runId: report.runId })).rejects.toThrow(UsageError);
});

test("all or nothing brings back what the run replaced, and says so if it created nothing", async () => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date DESC, kind)");
  const tails = async () => (await cacheIndexes(own.sql)).map(({ name, definition }) => [name, definition]);
  const before = await tails();
  const replaced = await it.ensure(onTable({}, broken), { allOrNothing: true, replace: true });
  expect(actions(replaced.entries)).toEqual({ by_day: "replaced", broken: "failed" });
  expect(actions(replaced.undone ?? [])).toEqual({ by_day: "restored" });
  expect(await tails()).toEqual(before);

  const { code, stdout } = await it.command(onTable(broken), "ensure", "--all-or-nothing").ended;
  expect([code, JSON.parse(stdout)]).toMatchObject([EXIT.failed, { ok: false, undone: [] }]);
});

test("all or nothing also holds for an interrupted run", async () => {
  const third = await own.connect();
  await openSnapshot(other);
  const stop = new AbortController();
  const running = it.ensure(onTable({}, late), { allOrNothing: true, signal: stop.signal });
  await waiting(own.sql, 'CREATE INDEX CONCURRENTLY "by_day"');
  // Begun after the first build waits, so it holds up the second one only.
  await openSnapshot(third);
  await other.query("ROLLBACK");
  await waiting(own.sql, 'CREATE INDEX CONCURRENTLY "late"');
  await openReader(other);
  const report = await withEndlessPatience(async () => {
    stop.abort();
    // Clearing up is given some time, although the run is over.
    await waiting(own.sql, "DROP INDEX CONCURRENTLY");
    await other.query("ROLLBACK");
    return running;
  });
  await third.query("ROLLBACK");
  expect(actions(report.entries)).toEqual({ by_day: "created", late: "failed" });
  expect(actions(report.undone ?? [])).toEqual({ by_day: "dropped" });
  expect(await validity(own.sql)).toEqual({});
});
