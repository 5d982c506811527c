/** What hangs on an index besides its definition outlives its replacement, and comes back with a rollback. PostgreSQL. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type pg from "pg";
import {
  describeFormer,
  joinComment,
  parseFormer,
  splitComment,
} from "../../../src/indexes/engines/postgres/belongings.ts";
import { expectedRows, indexCatalog } from "./index-catalog.ts";
import { actions, type Keeper, ledgerRows, onTable, openReader, untilAlone, waiting } from "./keeper.ts";
import { openSnapshot, openWriter, type Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const SPACE = `space_${randomUUID().slice(0, 8)}`;
const QUERY = "SELECT FROM daily_usage_cache WHERE lower(state) = 'final 7'";
const wanted = onTable({ columns: ["date", { expr: "lower(state)" }] });

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage(
  (stage) => ({ own, it, other } = stage),
  async () => {
    await own.sql.query(`
      INSERT INTO daily_usage_cache (tenant_id, date, state)
      SELECT 'more ' || g, date '2026-01-01' + g % 300, 'Final ' || g % 3000 FROM generate_series(1, 9000) g`);
    await own.sql.query(`
      CREATE INDEX by_day ON daily_usage_cache (lower(state), date) WITH (fillfactor = 70) TABLESPACE ${SPACE};
      ALTER INDEX by_day ALTER COLUMN 1 SET STATISTICS 1000;
      COMMENT ON INDEX by_day IS E'asked for by billing\\nkeep';
      ALTER TABLE daily_usage_cache CLUSTER ON by_day;
      ANALYZE daily_usage_cache`);
  },
);
beforeAll(async () => {
  await own.sql.query("SET allow_in_place_tablespaces = on");
  await own.sql.query(`CREATE TABLESPACE ${SPACE} LOCATION ''`);
});
afterAll(async () => {
  await other.query("DROP TABLE daily_usage_cache");
  await other.query(`DROP TABLESPACE ${SPACE}`);
});

const replace = (manifest = wanted) => it.ensure(manifest, { replace: true });
const byDay = async () => (await indexCatalog(own.sql)).find(({ name }) => name === "by_day");

test("comment, statistics target, CLUSTER mark and tablespace move to the new index, and back", async () => {
  const before = await indexCatalog(own.sql);
  expect(actions((await replace()).entries)).toEqual({ by_day: "replaced" });
  expect(await byDay()).toMatchObject({
    definition: "CREATE INDEX by_day ON public.daily_usage_cache USING btree (date, lower(state))",
    comment: expect.stringMatching(/^asked for by billing\nkeep\ntallyman:test:[0-9a-f]{12}$/) as string,
    statistics: { 2: 1000 },
    clustered: true,
    tablespace: SPACE,
  });
  // Known as the keeper's by the mark in its comment.
  await own.sql.query("REINDEX INDEX CONCURRENTLY by_day");
  const plan = await it.plan(wanted);
  expect(plan).toMatchObject([{ action: "restore" }]);
  expect(plan[0]?.detail).toMatch(/^USING btree.*\(tablespace space_.*CLUSTER.*column 1: 1000.*billing/);
  expect(actions(await it.rollback(wanted))).toEqual({ by_day: "restored" });
  expect(await indexCatalog(own.sql)).toEqual(before);
});

test("the planner expects as many rows of an expression after a replacement, and after its rollback", async () => {
  const before = await expectedRows(own.sql, QUERY);
  expect(before).toBeLessThan(10);
  const lines: string[] = [];
  await it.ensure(wanted, { replace: true, onProgress: (line) => lines.push(line) });
  expect(lines.filter((line) => line.includes(": ANALYZE "))).toHaveLength(1);
  expect(Math.abs((await expectedRows(own.sql, QUERY)) - before)).toBeLessThanOrEqual(1);
  await it.rollback(wanted);
  expect(Math.abs((await expectedRows(own.sql, QUERY)) - before)).toBeLessThanOrEqual(1);
});

test("an index without expressions is built without ANALYZE", async () => {
  const lines: string[] = [];
  const plain = onTable({ name: "plain", columns: ["cached_at"] }, { name: "sum", columns: [{ expr: "upper(kind)" }] });
  await it.ensure(plain, { onProgress: (line) => lines.push(line) });
  expect(lines.filter((line) => line.includes("ANALYZE "))).toEqual([
    expect.stringContaining("sum: ANALYZE") as string,
  ]);
});

test("a build that outlived its process gets its statistics from the next run", async () => {
  const upper = onTable({ name: "sum", columns: [{ expr: "upper(state)" }] });
  const query = QUERY.replace("lower", "upper").replace("final", "FINAL");
  await openSnapshot(other);
  const first = it.command(upper, "ensure");
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  first.signal("SIGKILL");
  await other.query("ROLLBACK");
  await untilAlone(own.sql);
  expect(await expectedRows(own.sql, query)).toBeGreaterThan(20);
  expect(actions((await it.ensure(upper)).entries)).toEqual({ sum: "present" });
  expect(await expectedRows(own.sql, query)).toBeLessThan(10);
});

describe.each(["CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY"])("killed in %s", (statement) => {
  const kill = async (...args: readonly string[]) => {
    await (statement.startsWith("CREATE") ? openWriter(other) : openReader(other));
    const process = it.command(wanted, ...args);
    const pid = await waiting(own.sql, statement);
    process.signal("SIGKILL");
    await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
    await untilAlone(own.sql);
    await other.query("ROLLBACK");
  };

  test("a replacement and its rollback lose nothing", async () => {
    const before = await indexCatalog(own.sql);
    await kill("ensure", "--replace");
    await replace();
    expect(await byDay()).toMatchObject({ statistics: { 2: 1000 }, clustered: true, tablespace: SPACE });
    expect((await byDay())?.comment).toMatch(/^asked for by billing\nkeep\ntallyman:test:/);
    const runId = (await ledgerRows(own.sql)).at(-1)?.run_id ?? "";
    await kill("rollback", "--yes");
    expect(actions(await it.rollback(wanted, { runId }))).toEqual({ by_day: "restored" });
    expect(await indexCatalog(own.sql)).toEqual(before);
  });
});

test("when the proof fails, the old index keeps everything, the CLUSTER mark too", async () => {
  const before = await indexCatalog(own.sql);
  const report = await it.ensure(wanted, { replace: true, prove: () => Promise.resolve("no reader wants it") });
  expect(actions(report.entries)).toEqual({ by_day: "failed" });
  expect(await indexCatalog(own.sql)).toEqual(before);
});

test("without the right to create in the index's tablespace the replacement is not begun", async () => {
  const role = `guest_${randomUUID().slice(0, 8)}`;
  const url = new URL(own.databaseUrl);
  [url.username, url.password] = [role, "guest"];
  await own.sql.query(`
    CREATE ROLE ${role} LOGIN PASSWORD 'guest'; CREATE SCHEMA keeping AUTHORIZATION ${role};
    ALTER ROLE ${role} SET search_path = keeping, public; GRANT CREATE ON SCHEMA public TO ${role}`);
  try {
    await own.sql.query(`ALTER TABLE daily_usage_cache OWNER TO ${role}`);
    const before = await indexCatalog(own.sql);
    expect((await it.ensure(wanted, { databaseUrl: url.href, replace: true })).entries).toMatchObject([
      {
        action: "different",
        detail: expect.stringContaining(`GRANT CREATE ON TABLESPACE "${SPACE}" TO ${role}`) as string,
      },
    ]);
    expect(await indexCatalog(own.sql)).toEqual(before);
  } finally {
    await own.sql.query(
      `REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}; DROP SCHEMA keeping CASCADE`,
    );
  }
});

test("two replacements are undone in order, and somebody's comment on the first index is kept beside the mark", async () => {
  const { runId } = await it.ensure(onTable({ name: "mine", columns: ["kind"] }));
  await own.sql.query(
    `DO $$ BEGIN EXECUTE format('COMMENT ON INDEX mine IS %L', E'on call: ann\\n' || obj_description('mine'::regclass)); END $$`,
  );
  const before = await indexCatalog(own.sql);
  const second = onTable({ name: "mine", columns: ["kind", "date"] });
  await replace(second);
  expect((await indexCatalog(own.sql)).find(({ name }) => name === "mine")?.comment).toMatch(
    /^on call: ann\ntallyman:/,
  );
  await it.rollback(second);
  expect(await indexCatalog(own.sql)).toEqual(before);
  expect(actions(await it.rollback(second, { runId }))).toEqual({ mine: "dropped" });
});

test("a comment is split into somebody's text and the mark, and joined again; an old ledger's text is read", () => {
  const mark = "tallyman:shop:0123456789ab";
  for (const comment of [null, "text", mark, `two\nlines\n${mark}`, `${mark}\nnot last`]) {
    expect(joinComment(splitComment(comment))).toBe(comment);
  }
  expect(splitComment(`a\n${mark}`)).toEqual({ text: "a", mark });
  expect(parseFormer("UNIQUE USING btree (a)")).toEqual({ definition: "UNIQUE USING btree (a)" });
  expect(describeFormer("USING btree (a)")).toBe("USING btree (a)");
});
