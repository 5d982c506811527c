/** An index of another definition under a declared name: left alone, or replaced online, and brought back. PostgreSQL. */
import { expect, test } from "vitest";
import type pg from "pg";
import { EXIT } from "../../../src/errors.ts";
import { actions, type Keeper, ledgerRows, onTable, openReader, waiting } from "./keeper.ts";
import { until } from "../../support/until.ts";
import { cacheIndexes, makeCache, openSnapshot, openWriter, type Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const OLD = "CREATE INDEX by_day ON daily_usage_cache (date) WHERE kind = 'P'";
const wanted = onTable({ columns: ["date", "tenant_id"] });

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage(
  (stage) => ({ own, it, other } = stage),
  async () => {
    await own.sql.query(OLD);
  },
);

const replace = (manifest = wanted) => it.ensure(manifest, { replace: true });

/** Definitions by name; the primary key is left out. */
async function definitions(): Promise<Record<string, string>> {
  const rows = (await cacheIndexes(own.sql)).filter(({ name }) => !name.endsWith("_pkey"));
  return Object.fromEntries(rows.map(({ name, definition }) => [name, definition]));
}

const tails = async () =>
  Object.fromEntries(Object.entries(await definitions()).map(([name, text]) => [name, text.replace(/^.* USING /, "")]));
const NEW_TAIL = "btree (date, tenant_id)";

test("without --replace a different index is left alone, with exit code 2", async () => {
  const before = await cacheIndexes(own.sql);
  const { code, stderr } = await it.command(wanted, "ensure").ended;
  expect(code).toBe(EXIT.found);
  expect(stderr).toMatch(/--replace/);
  expect(await cacheIndexes(own.sql)).toEqual(before);
});

test("readers have the old or the new index at every moment", async () => {
  const reader = await own.connect();
  await reader.query("SET enable_seqscan = off");
  const stop = new AbortController();
  const plans: string[] = [];
  const reading = (async () => {
    while (!stop.signal.aborted) {
      const { rows } = await reader.query<{ "QUERY PLAN": string }>(
        "EXPLAIN SELECT 1 FROM daily_usage_cache WHERE date = '2026-01-03' AND kind = 'P'",
      );
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      plans.push(/ (by_day\w*) /.exec(plan)?.[1] ?? "none");
    }
  })();
  /** Waits until it has been looked some times more. */
  const looked = () => {
    const before = plans.length;
    return until("ten looks", () => Promise.resolve(plans.length >= before + 10 || undefined));
  };
  await openSnapshot(other);
  const running = replace();
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  await looked();
  await other.query("ROLLBACK");
  await openReader(other);
  await waiting(own.sql, "DROP INDEX CONCURRENTLY");
  await looked();
  await other.query("ROLLBACK");
  expect(actions((await running).entries)).toEqual({ by_day: "replaced" });
  await looked();
  stop.abort();
  await reading;
  expect(plans.filter((name) => !name.startsWith("by_day"))).toEqual([]);
  expect(await tails()).toEqual({ by_day: NEW_TAIL });
});

test("a rollback brings the old definition back word for word, and two replacements are undone in order", async () => {
  const before = await definitions();
  const { runId } = await replace();
  const second = await replace(onTable({ columns: ["cached_at"] }));
  expect(actions(second.entries)).toEqual({ by_day: "replaced" });
  expect(actions(await it.rollback(wanted))).toEqual({ by_day: "restored" });
  expect(await tails()).toEqual({ by_day: NEW_TAIL });
  // The first replacement stands again, and knows its index under the new identity.
  expect(actions(await it.rollback(wanted, { runId }))).toEqual({ by_day: "restored" });
  expect(await definitions()).toEqual(before);
  expect(await it.rollback(wanted, { all: true })).toEqual([]);
});

test("rollback --all drops an index that was created and then replaced", async () => {
  await own.sql.query("DROP INDEX by_day");
  await it.ensure(wanted);
  await replace(onTable({ columns: ["cached_at"] }));
  await replace(onTable({ columns: ["read_at"], unique: true, where: "read_at IS NULL" }));
  const undone = await it.rollback(wanted, { all: true });
  expect(undone.map(({ action }) => action)).toEqual(["restored", "restored", "dropped"]);
  expect(await definitions()).toEqual({});
});

test("a failed replacement leaves the old index, nothing beside it, and the earlier ledger entries", async () => {
  await own.sql.query("DROP INDEX by_day");
  const { runId } = await it.ensure(wanted);
  const unique = onTable({ unique: true, columns: ["state"], where: "state LIKE 'u%'" });
  const first = await own.connect();
  await openWriter(first);
  await openSnapshot(other);
  const running = replace(unique);
  await waiting(own.sql, "CREATE UNIQUE INDEX CONCURRENTLY");
  await own.sql.query(
    "INSERT INTO daily_usage_cache (tenant_id, date, state) VALUES ('d1', '2027-01-01', 'u1'), ('d2', '2027-01-01', 'u1')",
  );
  await first.query("ROLLBACK");
  await other.query("ROLLBACK");
  expect((await running).entries).toMatchObject([
    { action: "failed", detail: expect.stringMatching(/u1\) 2 times/) as string },
  ]);
  expect(await tails()).toEqual({ by_day: NEW_TAIL });
  // Seen beforehand it is not even begun.
  expect((await replace(unique)).entries[0]?.detail).toMatch(/u1\) 2 times/);
  await it.ensure(wanted);
  expect(actions(await it.rollback(wanted, { runId }))).toEqual({ by_day: "dropped" });
});

test("replacing the index of a constraint, foreign key or replica identity is refused, with what to do", async () => {
  const unique = "CREATE UNIQUE INDEX by_day ON daily_usage_cache (date, tenant_id)";
  const ways: Record<string, readonly string[]> = {
    "belongs to a constraint": [
      unique,
      "ALTER TABLE daily_usage_cache ADD CONSTRAINT by_day UNIQUE USING INDEX by_day",
    ],
    "used by a foreign key": [
      "CREATE UNIQUE INDEX by_day ON daily_usage_cache (date, tenant_id, kind)",
      `CREATE TABLE part (d date, t text COLLATE "C", k varchar(20),
         FOREIGN KEY (d, t, k) REFERENCES daily_usage_cache (date, tenant_id, kind))`,
    ],
    "replica identity": [unique, "ALTER TABLE daily_usage_cache REPLICA IDENTITY USING INDEX by_day"],
  };
  for (const [reason, statements] of Object.entries(ways)) {
    await makeCache(own.sql);
    for (const statement of statements) await own.sql.query(statement);
    const before = await cacheIndexes(own.sql);
    const report = await replace(onTable({ columns: ["cached_at"] }));
    expect(report.entries).toMatchObject([
      { action: "different", detail: expect.stringMatching(new RegExp(`${reason}.*CREATE UNIQUE INDEX`)) as string },
    ]);
    expect(await cacheIndexes(own.sql)).toEqual(before);
    await own.sql.query("DROP TABLE IF EXISTS part");
  }
});

test("a replacement begins only after another session's build on the table has ended", async () => {
  await openWriter(other);
  const third = await own.connect();
  const theirs = third.query("CREATE INDEX CONCURRENTLY theirs ON daily_usage_cache (cached_at)");
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY theirs");
  const lines: string[] = [];
  const running = it.ensure(wanted, { replace: true, onProgress: (line) => lines.push(line) });
  await until("word of it", () => Promise.resolve(lines.find((line) => line.includes("another session's build"))));
  expect(await ledgerRows(own.sql).catch(() => [])).toEqual([]);
  await other.query("ROLLBACK");
  await theirs;
  expect(actions((await running).entries)).toEqual({ by_day: "replaced" });
  expect(Object.keys(await definitions())).toEqual(["by_day", "theirs"]);
});

test("a definition that the data no longer allows is not brought back; the present index stays", async () => {
  await own.sql.query("DROP INDEX by_day");
  await own.sql.query("CREATE UNIQUE INDEX by_day ON daily_usage_cache (state) WHERE kind = 'U'");
  await replace();
  await own.sql.query("UPDATE daily_usage_cache SET kind = 'U' WHERE tenant_id = 'tenant 1'");
  expect(await it.rollback(wanted)).toMatchObject([
    { action: "kept", detail: expect.stringMatching(/could not create unique index/) as string },
  ]);
  expect(await tails()).toEqual({ by_day: NEW_TAIL });
  expect(await ledgerRows(own.sql)).toMatchObject([{ intent: "replace", state: "done" }]);
  await own.sql.query("UPDATE daily_usage_cache SET kind = 'P'");
  expect(actions(await it.rollback(wanted))).toEqual({ by_day: "restored" });
  expect((await definitions())["by_day"]).toMatch(/^CREATE UNIQUE INDEX .*WHERE/);
});
