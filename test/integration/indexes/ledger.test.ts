/** The ledger: lost, out of reach, shared by two manifests, in a time zone; and the mark at the index itself. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type pg from "pg";
import { UsageError } from "../../../src/errors.ts";
import { checkIndexes } from "../../../src/indexes/check/check.ts";
import { ensureIndexes } from "../../../src/indexes/ensure/ensure.ts";
import { MongoLedger } from "../../../src/indexes/engines/mongo/ledger.ts";
import { rollbackIndexes } from "../../../src/indexes/rollback/rollback.ts";
import { actions, type Keeper, ledgerRows, onCollection, onTable, untilAlone, validity, waiting } from "./keeper.ts";
import { FORGET, cacheIndexes, openSnapshot, openWriter, type Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const ROLE = `keeper_${randomUUID().slice(0, 8)}`;

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage((stage) => ({ own, it, other } = stage));
beforeAll(async () => {
  await own.sql.query(`CREATE ROLE ${ROLE} LOGIN`);
});
afterAll(async () => {
  await own.sql.query(`DROP OWNED BY ${ROLE} CASCADE; DROP ROLE ${ROLE}`);
});

const wanted = { ...onCollection({}), ...onTable({}) };

async function comment(index: string): Promise<string | null> {
  const { rows } = await own.sql.query<{ text: string | null }>(
    "SELECT obj_description($1::regclass, 'pg_class') AS text",
    [index],
  );
  return rows[0]?.text ?? null;
}

test("the ledger records who made which index, how, when and how large, and the index is marked", async () => {
  const { rows: clock } = await own.sql.query<{ now: string }>("SELECT clock_timestamp()::text AS now");
  const { runId } = await it.ensure(wanted);
  const { rows } = await own.sql.query(
    `SELECT *, $1 <= started_at AND started_at < finished_at AND finished_at <= clock_timestamp() AS meanwhile
       FROM public.tallyman_index_ledger`,
    [clock[0]?.now],
  );
  const index = (await cacheIndexes(own.sql)).find(({ name }) => name === "by_day");
  expect(rows).toMatchObject([
    {
      run_id: runId,
      target: "public.daily_usage_cache",
      name: "by_day",
      project: "test",
      intent: "create",
      state: "done",
      definition: 'CREATE INDEX CONCURRENTLY "by_day" ON "public"."daily_usage_cache" USING btree ("date")',
      oid: String(index?.oid),
      baseline_rows: "400",
      meanwhile: true,
    },
  ]);
  expect(await comment("by_day")).toMatch(/^tallyman:test:[0-9a-f]{12}$/);
  const lines = await new MongoLedger(own.mongo).read();
  expect(lines.map(({ name, intent, state }) => `${name} ${intent} ${state}`).sort()).toEqual([
    " collection done",
    "by_a create done",
  ]);
});

test("after the loss of the ledger existing indexes are found, and no rollback touches them", async () => {
  const { runId } = await it.ensure(wanted);
  const before = [await cacheIndexes(own.sql), await comment("by_day")];
  await own.sql.query("DROP TABLE public.tallyman_index_ledger");
  await own.mongo.collection("_index_ledger").drop();
  expect((await it.check(wanted)).ok).toBe(true);
  await expect(it.plan(wanted, { runId })).rejects.toThrow(UsageError);
  expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_a: "present", by_day: "present" });
  expect(await it.rollback(wanted, { all: true })).toEqual([]);
  expect([await cacheIndexes(own.sql), await comment("by_day")]).toEqual(before);
  expect(await ledgerRows(own.sql)).toMatchObject([{ name: "by_day", intent: "adopt", state: "done" }]);
});

test("after the loss of the ledger an interrupted build is still repaired", async () => {
  await openWriter(other);
  const first = it.command(onTable({}), "ensure");
  const pid = await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  first.signal("SIGKILL");
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await untilAlone(own.sql);
  await other.query("ROLLBACK");
  await own.sql.query(FORGET);
  expect(actions((await it.ensure(onTable({}))).entries)).toEqual({ by_day: "repaired" });
  expect(await validity(own.sql)).toEqual({ by_day: true });
});

test("a role that may not create or read the ledger gets the statement for an owner to run, which is enough", async () => {
  const url = new URL(own.databaseUrl);
  url.username = ROLE;
  const targets = { manifest: onTable({}), mongo: own.mongo, databaseUrl: url.href };
  await own.sql.query(`ALTER TABLE daily_usage_cache OWNER TO ${ROLE}`);
  const { ok, entries } = await ensureIndexes(targets);
  expect([ok, await validity(own.sql)]).toEqual([false, {}]);
  const advice = /GRANT USAGE, CREATE ON SCHEMA "public" TO \w+/.exec(entries[0]?.detail ?? "")?.[0];
  await own.sql.query(advice ?? "");
  expect(actions((await ensureIndexes(targets)).entries)).toEqual({ by_day: "created" });
  expect(actions((await ensureIndexes(targets)).entries)).toEqual({ by_day: "present" });

  await own.sql.query(`ALTER TABLE tallyman_index_ledger OWNER TO CURRENT_USER`);
  const unread: unknown = await checkIndexes(targets).catch((reason: unknown) => reason);
  expect(unread).toBeInstanceOf(UsageError);
  const grant = /GRANT SELECT, INSERT, UPDATE ON public.tallyman_index_ledger TO <the role of index work>/.exec(
    (unread as Error).message,
  )?.[0];
  await own.sql.query(grant?.replace(/<.*>/, ROLE) ?? "");
  expect((await checkIndexes(targets)).ok).toBe(true);
  expect(actions(await rollbackIndexes(targets, {}))).toEqual({ by_day: "dropped" });
});

test("the newest run of both databases is found, whatever their time zones", async () => {
  for (const zone of ["Pacific/Kiritimati", "Pacific/Pago_Pago"]) {
    await own.sql.query(`ALTER DATABASE ${own.mongo.databaseName} SET TimeZone = '${zone}'`);
    const table = await it.ensure(onTable({}));
    await it.ensure(onCollection({}));
    expect(actions(await it.rollback(wanted))).toEqual({ by_a: "dropped", "": "dropped" });
    // The same command again must not walk back through history.
    expect(await it.rollback(wanted)).toEqual([]);
    expect(actions(await it.rollback(wanted, { runId: table.runId }))).toEqual({ by_day: "dropped" });
    const collection = await it.ensure(onCollection({}));
    await it.ensure(onTable({}));
    expect(actions(await it.rollback(wanted))).toEqual({ by_day: "dropped" });
    expect(await it.rollback(wanted)).toEqual([]);
    expect(actions(await it.rollback(wanted, { runId: collection.runId }))).toEqual({ by_a: "dropped", "": "dropped" });
  }
  await own.sql.query(`ALTER DATABASE ${own.mongo.databaseName} RESET TimeZone`);
});

test("two manifests in one database do not touch each other's indexes", async () => {
  const theirs = { ...onTable({}, { name: "late", columns: ["cached_at"] }), project: "theirs" };
  await it.ensure(onTable({}));
  const { entries } = await it.ensure(theirs);
  expect(actions(entries)).toEqual({ by_day: "present", late: "created" });
  expect(actions(await it.rollback(theirs, { all: true }))).toEqual({ late: "dropped" });
  expect(actions(await it.rollback(onTable({}), { all: true }))).toEqual({ by_day: "dropped" });
});

test("an interrupted build is completed for the manifest that began it, whichever manifest is ensured first", async () => {
  await openSnapshot(other);
  const first = it.command(onTable({}), "ensure");
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  first.signal("SIGKILL");
  await other.query("ROLLBACK");
  await untilAlone(own.sql);
  const theirs = { ...onTable({}), project: "theirs" };
  expect(actions((await it.ensure(theirs)).entries)).toEqual({ by_day: "present" });
  expect(await comment("by_day")).toMatch(/^tallyman:test:/);
  expect(await it.rollback(theirs, { all: true })).toEqual([]);
  expect(actions(await it.rollback(onTable({})))).toEqual({ by_day: "dropped" });
});

test("after the loss of its lock a run reads the ledger again", async () => {
  await openSnapshot(other);
  const running = it.ensure(onTable({}));
  const pid = await waiting(own.sql, 'CREATE INDEX CONCURRENTLY "by_day"');
  // Somebody else takes the lock before the run is back, finishes the work and has the ledger say so.
  const third = await own.connect();
  const locked = third.query(
    "SELECT pg_advisory_lock(hashtextextended('tallyman:indexes:' || current_database(), 0)) AS locked",
  );
  await waiting(own.sql, "SELECT pg_advisory_lock");
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await locked;
  await other.query("ROLLBACK");
  await third.query("DROP INDEX IF EXISTS by_day; CREATE INDEX by_day ON daily_usage_cache (date)");
  await third.query("UPDATE public.tallyman_index_ledger SET state = 'failed'");
  await third.query("SELECT pg_advisory_unlock_all()");
  expect((await running).ok).toBe(true);
  expect((await ledgerRows(own.sql)).filter(({ name }) => name === "by_day")).toMatchObject([
    { intent: "adopt", state: "done" },
  ]);
});
