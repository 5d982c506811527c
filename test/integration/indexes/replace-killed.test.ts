/** Replacements and their rollbacks that are killed, cancelled or cut off at each of their steps. PostgreSQL. */
import { expect, test } from "vitest";
import type pg from "pg";
import { actions, type Keeper, ledgerRows, onTable, openReader, untilAlone, validity, waiting } from "./keeper.ts";
import { cacheIndexes, openSnapshot, openWriter, type Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const OLD = "CREATE INDEX by_day ON daily_usage_cache (date) WHERE kind = 'P'";
const wanted = onTable({ columns: ["date", "tenant_id"] });
const NEXT = "by_day__tallyman_new";
const LAST = "by_day__tallyman_old";

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage(
  (stage) => ({ own, it, other } = stage),
  async () => {
    await own.sql.query(OLD);
  },
);

const terminate = (pid: number) => own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
const replace = (manifest = wanted) => it.ensure(manifest, { replace: true });

/** Definitions by name; the primary key is left out. */
async function definitions(): Promise<Record<string, string>> {
  const rows = (await cacheIndexes(own.sql)).filter(({ name }) => !name.endsWith("_pkey"));
  return Object.fromEntries(rows.map(({ name, definition }) => [name, definition]));
}

const tails = async () =>
  Object.fromEntries(Object.entries(await definitions()).map(([name, text]) => [name, text.replace(/^.* USING /, "")]));
const NEW_TAIL = "btree (date, tenant_id)";

test("after a kill during the build the next run continues with the index that the server finished", async () => {
  await openSnapshot(other);
  const first = it.command(wanted, "ensure", "--replace");
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  first.signal("SIGKILL");
  await other.query("ROLLBACK");
  await untilAlone(own.sql);
  expect(await validity(own.sql)).toEqual({ by_day: true, [NEXT]: true });
  const built = (await cacheIndexes(own.sql)).find(({ name }) => name === NEXT)?.oid;
  expect(actions((await replace()).entries)).toEqual({ by_day: "replaced" });
  expect((await cacheIndexes(own.sql)).find(({ name }) => name === "by_day")?.oid).toBe(built);
  expect(await tails()).toEqual({ by_day: NEW_TAIL });
});

test("after a kill with its backend during the build the next run builds again, and a rollback keeps the old index", async () => {
  for (const then of ["replace", "rollback"] as const) {
    await openWriter(other);
    const first = it.command(wanted, "ensure", "--replace");
    const pid = await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
    first.signal("SIGKILL");
    await terminate(pid);
    await untilAlone(own.sql);
    await other.query("ROLLBACK");
    expect(await validity(own.sql)).toEqual({ by_day: true, [NEXT]: false });
    if (then === "replace") {
      expect(actions((await replace()).entries)).toEqual({ by_day: "replaced" });
      expect(await tails()).toEqual({ by_day: NEW_TAIL });
      await it.rollback(wanted);
    } else {
      const before = (await cacheIndexes(own.sql)).find(({ name }) => name === "by_day");
      await it.rollback(wanted);
      expect((await cacheIndexes(own.sql)).filter(({ name }) => !name.endsWith("_pkey"))).toEqual([before]);
    }
  }
});

test.each(["finished by the server", "left invalid"])(
  "killed after the change of names, the drop %s: the next run ends the work of the first",
  async (fate) => {
    const before = await definitions();
    await openReader(other);
    const first = it.command(wanted, "ensure", "--replace");
    const pid = await waiting(own.sql, "DROP INDEX CONCURRENTLY");
    first.signal("SIGKILL");
    if (fate === "left invalid") await terminate(pid);
    else await other.query("ROLLBACK");
    await untilAlone(own.sql);
    await other.query("ROLLBACK");
    expect(await validity(own.sql)).toEqual(
      fate === "left invalid" ? { by_day: true, [LAST]: false } : { by_day: true },
    );
    const [begun] = await ledgerRows(own.sql);
    expect(begun).toMatchObject({ intent: "replace", state: "started" });

    expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_day: "present" });
    expect(await tails()).toEqual({ by_day: NEW_TAIL });
    expect(await ledgerRows(own.sql)).toMatchObject([{ intent: "replace", state: "done", run_id: begun?.run_id }]);
    expect(actions(await it.rollback(wanted, { runId: begun?.run_id ?? "" }))).toEqual({ by_day: "restored" });
    expect(await definitions()).toEqual(before);
  },
);

test("a replacement cancelled in its last step is finished by the next run", async () => {
  const before = await definitions();
  await openReader(other);
  const stop = new AbortController();
  const running = it.ensure(wanted, { replace: true, signal: stop.signal });
  await waiting(own.sql, "DROP INDEX CONCURRENTLY");
  stop.abort();
  expect((await running).entries).toMatchObject([
    { action: "failed", detail: expect.stringMatching(/next run/) as string },
  ]);
  await other.query("ROLLBACK");
  expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_day: "present" });
  expect(await tails()).toEqual({ by_day: NEW_TAIL });
  expect(actions(await it.rollback(wanted))).toEqual({ by_day: "restored" });
  expect(await definitions()).toEqual(before);
});

test("a rollback killed at either step is finished by the same command again", async () => {
  const before = await definitions();
  for (const statement of ["CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY"]) {
    const { runId } = await replace();
    await (statement.startsWith("CREATE") ? openWriter(other) : openReader(other));
    const first = it.command(wanted, "rollback", "--yes");
    const pid = await waiting(own.sql, statement);
    first.signal("SIGKILL");
    await terminate(pid);
    await untilAlone(own.sql);
    await other.query("ROLLBACK");
    expect((await ledgerRows(own.sql)).at(-1)).toMatchObject({ intent: "restore", state: "started", run_id: runId });
    expect(actions(await it.rollback(wanted, { runId }))).toEqual({ by_day: "restored" });
    expect(await definitions()).toEqual(before);
  }
});

test("a replacement or its rollback whose backend is lost at either step is finished in the same run", async () => {
  const before = await definitions();
  for (const statement of ["CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY"]) {
    const hold = () => (statement.startsWith("CREATE") ? openWriter(other) : openReader(other));
    const lose = async () => {
      await terminate(await waiting(own.sql, statement));
      await other.query("ROLLBACK");
    };
    await hold();
    const running = replace();
    await lose();
    expect(actions((await running).entries)).toEqual({ by_day: "replaced" });
    expect(await tails()).toEqual({ by_day: NEW_TAIL });
    await hold();
    const undoing = it.rollback(wanted);
    await lose();
    expect(actions(await undoing)).toEqual({ by_day: "restored" });
    expect(await definitions()).toEqual(before);
  }
});

test("the next run asks for the proof that a killed run did not get to, before it drops the old index", async () => {
  const before = await definitions();
  await openReader(other);
  const first = it.command(wanted, "ensure", "--replace");
  const pid = await waiting(own.sql, "DROP INDEX CONCURRENTLY");
  first.signal("SIGKILL");
  await terminate(pid);
  await untilAlone(own.sql);
  await other.query("ROLLBACK");
  // As it was before the drop began.
  await own.sql.query(`DROP INDEX ${LAST}`);
  await own.sql.query(OLD.replace("by_day", LAST));
  const report = await it.ensure(wanted, { prove: () => Promise.resolve("no reader wants it") });
  expect(report.entries).toMatchObject([
    { action: "failed", detail: expect.stringMatching(/no reader wants it/) as string },
  ]);
  expect(await definitions()).toEqual(before);
  expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_day: "different" });
});
