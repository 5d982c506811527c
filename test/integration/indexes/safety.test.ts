/** Nothing that the keeper does blocks writers, is done twice, or is lost with its process. */
import { expect, test } from "vitest";
import type pg from "pg";
import { EXIT } from "../../../src/errors.ts";
import type { EnsureReport } from "../../../src/indexes/ensure/ensure.ts";
import {
  actions,
  type Keeper,
  ledgerRows,
  onCollection,
  onTable,
  openReader,
  statuses,
  untilAlone,
  validity,
  waiting,
} from "./keeper.ts";
import { until } from "../../support/until.ts";
import { cacheIndexes, openSnapshot, openWriter, type Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const CREATE = "CREATE INDEX CONCURRENTLY";
const DROP = "DROP INDEX CONCURRENTLY";
const manifest = onTable({});

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage((stage) => ({ own, it, other } = stage));

const terminate = (pid: number) => own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
const byDay = async () => (await cacheIndexes(own.sql)).find(({ name }) => name === "by_day");

/** Those that no statement of a writer waits for. */
const HARMLESS = ["AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"];

/** The modes of all locks on the table that the keeper holds or waits for, and writers that wait for it. */
async function keeperLocks(sql: pg.Client): Promise<{ modes: string[]; kept: number }> {
  const { rows } = await sql.query<{ modes: string[]; kept: number }>(`
    WITH keeper AS (SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'tallyman indexes%')
    SELECT ARRAY(SELECT DISTINCT mode FROM pg_locks WHERE relation = 'daily_usage_cache'::regclass
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND pid IN (SELECT pid FROM keeper)) AS modes,
           (SELECT count(*)::int FROM pg_locks l
             WHERE NOT l.granted AND l.pid NOT IN (SELECT pid FROM keeper)
               AND pg_blocking_pids(l.pid) && ARRAY(SELECT pid FROM keeper)) AS kept`);
  return rows[0] as { modes: string[]; kept: number };
}

test("writers do not feel a build", async () => {
  await own.sql.query(`
    INSERT INTO daily_usage_cache (tenant_id, date, state)
    SELECT 'tenant ' || g, date '2026-01-01' + g % 400, md5(g::text) FROM generate_series(100, 400000) g`);
  const slow = onTable({ columns: [{ expr: "repeat(md5(state), 3)" }, "date"] });
  const stop = new AbortController();
  const written = [0, 0, 0];
  const writers = written.map(async (_, writer) => {
    const client = await own.connect();
    for (let n = 0; !stop.signal.aborted; n += 1) {
      await client.query("INSERT INTO daily_usage_cache (tenant_id, date, state) VALUES ($1, '2027-01-01', 'x')", [
        `w${writer} ${n}`,
      ]);
      await client.query("UPDATE daily_usage_cache SET state = 'y' WHERE tenant_id = $1 AND date = '2027-01-01'", [
        `w${writer} ${n}`,
      ]);
      written[writer] = n + 1;
    }
  });
  const eye = await own.connect();
  const modes = new Set<string>();
  const looking = (async () => {
    while (!stop.signal.aborted) {
      const seen = await keeperLocks(eye);
      for (const mode of seen.modes) modes.add(mode);
      expect(seen.kept).toBe(0);
    }
  })();
  /** Every writer commits ten times two statements more while the build waits for somebody. */
  const writeOn = async () => {
    const pid = await waiting(own.sql, CREATE);
    const before = [...written];
    await until("ten writes of each", () =>
      Promise.resolve(written.every((count, writer) => count >= (before[writer] ?? 0) + 10) || undefined),
    );
    expect(await waiting(own.sql, CREATE)).toBe(pid);
  };
  const first = await own.connect();
  await openWriter(first);
  await openSnapshot(other);
  const running = it.ensure(slow);
  await writeOn(); // it has not begun to read the table
  await first.query("ROLLBACK");
  await until("end of the first pass", async () => ((await byDay())?.ready === true ? true : undefined));
  await writeOn(); // it has read the table, and new rows are in the index
  await other.query("ROLLBACK");
  const report = await running;
  stop.abort();
  await Promise.all([...writers, looking]);
  expect(actions(report.entries)).toEqual({ by_day: "created" });
  expect([...modes].filter((mode) => !HARMLESS.includes(mode))).toEqual([]);
  expect(modes).toContain("ShareUpdateExclusiveLock"); // the build's own
});

test("four processes at once make one build", async () => {
  const two = onTable({}, { name: "late", phase: 2, columns: ["cached_at"] });
  await openSnapshot(other);
  const processes = [1, 2, 3, 4].map(() => it.command(two, "ensure"));
  const waiters = () => processes.filter((process) => process.stderr().includes("waiting for the index lock"));
  await until("three that wait", () => Promise.resolve(waiters().length === 3 ? true : undefined));
  await other.query("ROLLBACK");
  const ended = await Promise.all(processes.map((process) => process.ended));
  expect(ended.map(({ code }) => code)).toEqual(Array(4).fill(EXIT.done));
  const reports = ended.map(({ stdout }) => JSON.parse(stdout) as EnsureReport);
  const done = reports.flatMap((report) => report.entries.map(({ name, action }) => `${name} ${action}`)).sort();
  expect(done).toEqual([
    "by_day created",
    ...Array<string>(3).fill("by_day present"),
    "late created",
    ...Array<string>(3).fill("late present"),
  ]);
  expect((await ledgerRows(own.sql)).map(({ name, intent, state }) => `${name} ${intent} ${state}`)).toEqual([
    "by_day create done",
    "late create done",
  ]);
});

test("a build whose process is killed goes on, belongs to the first run, and is dropped by a rollback of it", async () => {
  await openSnapshot(other);
  const first = it.command(manifest, "ensure");
  await waiting(own.sql, CREATE);
  first.signal("SIGKILL");
  await first.ended;
  const [begun] = await ledgerRows(own.sql);
  expect(begun).toMatchObject({ intent: "create", state: "started" });

  const lines: string[] = [];
  const next = it.ensure(manifest, { onProgress: (line) => lines.push(line) });
  await until("word of it", () => Promise.resolve(lines.find((line) => line.includes("waiting for the index lock"))));
  const oid = (await byDay())?.oid;
  await other.query("ROLLBACK");
  const report = await next;
  expect(actions(report.entries)).toEqual({ by_day: "present" });
  expect(await byDay()).toMatchObject({ valid: true, oid });
  const rows = await ledgerRows(own.sql);
  expect(rows).toMatchObject([{ intent: "create", state: "done", run_id: begun?.run_id, oid: String(oid) }]);

  expect(actions(await it.rollback(manifest, { runId: begun?.run_id ?? "" }))).toEqual({ by_day: "dropped" });
  expect(await validity(own.sql)).toEqual({});
});

test("a run that was killed can be rolled back before any other run", async () => {
  await openSnapshot(other);
  const first = it.command(manifest, "ensure");
  await waiting(own.sql, CREATE);
  first.signal("SIGKILL");
  await other.query("ROLLBACK");
  await untilAlone(own.sql);
  expect(await validity(own.sql)).toEqual({ by_day: true });
  expect(actions(await it.rollback(manifest))).toEqual({ by_day: "dropped" });
  expect(await validity(own.sql)).toEqual({});
});

test("a build killed with its backend leaves an invalid index, which check reports and ensure repairs", async () => {
  await openWriter(other);
  const first = it.command(manifest, "ensure");
  const pid = await waiting(own.sql, CREATE);
  first.signal("SIGKILL");
  await terminate(pid);
  await untilAlone(own.sql);
  await other.query("ROLLBACK");
  expect(statuses((await it.check(manifest)).targets[0]?.indexes ?? [])).toEqual({ by_day: "invalid-create" });
  expect(actions((await it.ensure(manifest)).entries)).toEqual({ by_day: "repaired" });
  expect(await validity(own.sql)).toEqual({ by_day: true });
});

test("an interrupted drop is finished by the next run or by the same rollback, and not built again", async () => {
  for (const finish of ["ensure", "rollback"] as const) {
    const { runId } = await it.ensure(manifest);
    await openWriter(other);
    const rollback = it.command(manifest, "rollback", "--yes");
    const pid = await waiting(own.sql, DROP);
    rollback.signal("SIGKILL");
    await terminate(pid);
    await untilAlone(own.sql);
    await other.query("ROLLBACK");
    expect(await validity(own.sql)).toEqual({ by_day: false });
    expect((await ledgerRows(own.sql)).at(-1)).toMatchObject({ intent: "drop", state: "started", run_id: runId });
    expect(statuses((await it.check(manifest)).targets[0]?.indexes ?? [])).toEqual({ by_day: "invalid-drop" });

    if (finish === "ensure") {
      expect(actions((await it.ensure(manifest)).entries)).toEqual({ by_day: "dropped" });
      expect((await ledgerRows(own.sql)).at(-1)).toMatchObject({ intent: "drop", state: "done", run_id: runId });
    } else {
      expect(actions(await it.rollback(manifest, { runId }))).toEqual({ by_day: "dropped" });
    }
    expect(await validity(own.sql)).toEqual({});
  }
  expect(actions((await it.ensure(manifest)).entries)).toEqual({ by_day: "created" });
});

test("the leftover of a failed REINDEX is reported and never dropped", async () => {
  await it.ensure(manifest);
  await openWriter(other);
  const reindexer = await own.connect();
  const reindex = reindexer.query("REINDEX INDEX CONCURRENTLY by_day").catch(() => undefined);
  await terminate(await waiting(own.sql, "REINDEX"));
  await reindex;
  await other.query("ROLLBACK");
  const left = { by_day: true, by_day_ccnew: false };
  expect(await validity(own.sql)).toEqual(left);

  expect(actions((await it.ensure(manifest, { replace: true })).entries)).toEqual({ by_day: "present" });
  expect(await validity(own.sql)).toEqual(left);
  const { targets, ok } = await it.check(manifest);
  expect(ok).toBe(true);
  expect(targets[0]?.indexes[1]).toMatchObject({
    status: "invalid-foreign",
    detail: expect.stringMatching(/REINDEX/) as string,
  });
  await own.sql.query("DROP INDEX by_day_ccnew");
});

test("a unique build with duplicates that arrive meanwhile fails with them, and leaves nothing that refuses rows", async () => {
  const unique = onTable({ unique: true, columns: ["state"], where: "state LIKE 'u%'" });
  await openSnapshot(other);
  const first = await own.connect();
  await openWriter(first);
  const running = it.ensure(unique);
  await waiting(own.sql, "CREATE UNIQUE INDEX CONCURRENTLY");
  await own.sql.query(
    "INSERT INTO daily_usage_cache (tenant_id, date, state) VALUES ('d1', '2027-01-01', 'u1'), ('d2', '2027-01-01', 'u1')",
  );
  await first.query("ROLLBACK");
  await other.query("ROLLBACK");
  const report = await running;
  expect(actions(report.entries)).toEqual({ by_day: "failed" });
  expect(report.entries[0]?.detail).toMatch(/^not unique: \(state\) occurs as \(u1\) 2 times/);
  expect(await validity(own.sql)).toEqual({});
  expect(await ledgerRows(own.sql)).toMatchObject([{ intent: "create", state: "failed" }]);
  expect(await it.rollback(unique)).toEqual([]);
});

test("a drop that other sessions block ends with the signal, and the same command again finishes it", async () => {
  await it.ensure(manifest);
  await openReader(other);
  const stop = new AbortController();
  const running = it.rollback(manifest, {}, { signal: stop.signal });
  await waiting(own.sql, DROP);
  stop.abort();
  expect(await running).toMatchObject([{ action: "kept", detail: expect.stringMatching(/cancelled/) as string }]);
  expect((await ledgerRows(own.sql)).at(-1)).toMatchObject({ intent: "drop", state: "started" });
  await other.query("ROLLBACK");
  expect(actions(await it.rollback(manifest))).toEqual({ by_day: "dropped" });
  expect(await validity(own.sql)).toEqual({});
});

test("on a server that blocks writers, an index on a collection with documents is built only with --allow-blocking", async () => {
  const events = own.mongo.collection("events");
  await events.insertMany([{ a: 1 }, { a: 2 }]);
  const blocking = "ferretdb" in (await own.mongo.command({ buildInfo: 1 }));
  const wanted = onCollection({});
  const process = it.command(wanted, "ensure");
  const { code, stdout, stderr } = await process.ended;
  const { entries } = JSON.parse(stdout) as EnsureReport;
  expect(actions(entries)).toEqual({ by_a: blocking ? "refused" : "created" });
  expect(code).toBe(blocking ? EXIT.found : EXIT.done);
  expect(stderr).toMatch(blocking ? /--allow-blocking/ : /^/);
  // Nor by way of a replacement.
  await it.ensure(wanted, { allowBlocking: true });
  const other = onCollection({ keys: [["b", 1]] });
  expect(actions((await it.ensure(other, { replace: true })).entries)).toEqual({
    by_a: blocking ? "refused" : "replaced",
  });
});

test("a unique build that fails for duplicates that the search did not find leaves nothing", async () => {
  const events = own.mongo.collection("tags");
  await events.insertMany([{ a: [1, 2] }, { a: [2, 3] }]);
  const wanted = {
    ...onCollection(),
    mongo: { tags: [{ name: "one", why: "test", unique: true, keys: [["a", 1]] }] },
  } as const;
  const report = await it.ensure(wanted, { allowBlocking: true });
  expect(report.entries).toMatchObject([{ action: "failed", detail: expect.stringMatching(/./) as string }]);
  expect(await events.listIndexes().toArray()).toHaveLength(1);
  expect(await it.rollback(wanted)).toEqual([]);
});

test("a rollback whose backend is lost during a drop finishes the drop in the same run", async () => {
  await it.ensure(manifest);
  await openWriter(other);
  const running = it.rollback(manifest);
  await terminate(await waiting(own.sql, DROP));
  await other.query("ROLLBACK");
  expect(actions(await running)).toEqual({ by_day: "dropped" });
  expect(await validity(own.sql)).toEqual({});
});

test("an interrupted command cancels its build, leaves nothing invalid and says so", async () => {
  await openSnapshot(other);
  const process = it.command(manifest, "ensure");
  await waiting(own.sql, CREATE);
  process.signal("SIGINT");
  const { code, stdout } = await process.ended;
  expect(code).toBe(EXIT.failed);
  expect((JSON.parse(stdout) as EnsureReport).entries).toMatchObject([{ action: "failed", detail: "cancelled" }]);
  expect(await validity(own.sql)).toEqual({});
});
