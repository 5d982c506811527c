/** Indexes of partitioned tables: built without blocking writers, replaced, brought back, and taken back exactly. */
import { expect, test } from "vitest";
import { planIndexes } from "../../../src/indexes/check/plan.ts";
import { readStats } from "../../../src/indexes/stats/stats.ts";
import { maintainIndexes } from "../../../src/indexes/maintain.ts";
import { verifyIndexes } from "../../../src/indexes/verify/verify.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { indexCatalog } from "./index-catalog.ts";
import { actions, type Keeper } from "./keeper.ts";
import { makeEvents, onEvents } from "./partitions.ts";
import type { Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const TABLES = 26; // that hold rows: 23 months, two parts of a month, the default partition
const wanted = onEvents({});
const other = onEvents({ columns: ["tenant", "day"] });

let own: Scratch;
let it: Keeper;
onStage(
  (stage) => ({ own, it } = stage),
  () => makeEvents(own.sql, 2_000),
);

const targets = (manifest: Manifest) => ({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl });
const catalog = async () => (await indexCatalog(own.sql)).filter(({ table }) => table.startsWith("events"));

test("every partition at any depth gets its index, the whole table's is valid, and a rollback leaves nothing", async () => {
  expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_kind: "created" });
  const rows = await catalog();
  expect(rows.filter(({ valid }) => !valid)).toEqual([]);
  expect(rows.filter(({ parent }) => parent === "by_kind")).toHaveLength(25);
  expect(rows).toHaveLength(TABLES + 2); // and those of the whole table and of the divided month
  expect(rows.every(({ name }) => Buffer.byteLength(name) <= 63 && !name.includes("tallyman"))).toBe(true);
  expect((await it.check(wanted)).ok).toBe(true);
  expect((await it.ensure(wanted)).entries).toMatchObject([{ action: "present" }]);
  // A new partition gets the index by itself.
  await own.sql.query("CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2029-01-01') TO ('2029-02-01')");
  expect((await it.check(wanted)).ok).toBe(true);
  expect(actions(await it.rollback(wanted))).toEqual({ by_kind: "dropped" });
  expect(await catalog()).toEqual([]);
});

test("plan prints every statement in its order, and check how far an interrupted build came", async () => {
  const [step] = (await planIndexes(targets(wanted))).steps;
  const statements = step?.statements ?? [];
  const kinds = statements.map((statement) => /CONCURRENTLY|ON ONLY|ATTACH|RENAME/.exec(statement)?.[0]);
  expect(kinds).toEqual([
    ...Array<string>(TABLES).fill("CONCURRENTLY"),
    "ON ONLY", // the whole table
    ...["ON ONLY", "ATTACH"], // the divided month
    ...Array<string[]>(TABLES).fill(["ATTACH", "RENAME"]).flat(),
  ]);
  for (const statement of statements.slice(0, 3)) await own.sql.query(statement);
  expect((await it.check(wanted)).targets[0]?.indexes).toMatchObject([
    { name: "by_kind", status: "missing", detail: `3 of ${TABLES} partitions have it; ensure goes on with the rest` },
  ]);
  for (const statement of statements.slice(3, -2)) await own.sql.query(statement);
  expect((await it.check(wanted)).targets[0]?.indexes).toMatchObject([
    { status: "invalid-create", detail: `${TABLES - 1} of ${TABLES} partitions have it; ensure goes on with the rest` },
  ]);
  expect((await planIndexes(targets(wanted))).steps[0]?.statements).toEqual(statements.slice(-2));
  const oids = async () =>
    (
      await own.sql.query<{ oid: number }>(
        "SELECT indexrelid::int AS oid FROM pg_index WHERE indrelid::regclass::text LIKE 'events%' ORDER BY 1",
      )
    ).rows;
  const before = await oids();
  expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_kind: "created" });
  expect(await oids()).toEqual(before);
  await it.rollback(wanted);
  expect(await catalog()).toEqual([]);
});

test("a replacement keeps what hangs on the indexes of the partitions, and its rollback brings all of them back by name", async () => {
  await own.sql.query(`
    CREATE INDEX by_kind ON events (lower(tenant));
    COMMENT ON INDEX by_kind IS 'for billing'; COMMENT ON INDEX events_05_lower_idx IS 'the month of the fair';
    ALTER INDEX events_07_lower_idx ALTER COLUMN 1 SET STATISTICS 700`);
  const before = await catalog();
  const next = onEvents({ columns: ["day", { expr: "lower(tenant)" }] });
  const report = await it.ensure(next, { replace: true });
  expect(report.entries).toEqual([expect.objectContaining({ action: "replaced" })]);
  const rows = await catalog();
  const ofTable = (name: string) => rows.find(({ table }) => table === name);
  expect(rows.map(({ table }) => table)).toEqual(before.map(({ table }) => table));
  expect(rows.filter(({ valid, definition }) => !valid || !definition.includes("(day, lower(tenant))"))).toEqual([]);
  expect(ofTable("events")?.comment).toMatch(/^for billing\ntallyman:/);
  expect(ofTable("events_05")?.comment).toBe("the month of the fair");
  expect(ofTable("events_07")?.statistics).toEqual({ 2: 700 });
  expect((await it.plan(next))[0]?.detail).toMatch(
    /^USING btree \(lower\(tenant\)\) \(comment 'for billing', with the indexes of 27 partitions\)/,
  );
  expect(actions(await it.rollback(next))).toEqual({ by_kind: "restored" });
  expect(await catalog()).toEqual(before);
});

test("a partition's own equal index is attached instead of a second one, and outlives rollback and replacement", async () => {
  await own.sql.query(`
    CREATE INDEX mine ON events_04 (kind, day); COMMENT ON INDEX mine IS E'ours\\nsince May';
    CREATE INDEX down ON events_06 (kind, day DESC)`);
  const before = await catalog();
  const oidOf = async (name: string) =>
    (await own.sql.query<{ oid: number }>("SELECT $1::regclass::int AS oid", [name])).rows[0]?.oid;
  const oid = await oidOf("mine");
  await it.ensure(wanted);
  expect(await oidOf("mine")).toBe(oid);
  expect((await catalog()).filter(({ table }) => table === "events_04")).toMatchObject([
    { name: "mine", parent: "by_kind" },
  ]);
  // The server would attach an index with another direction as well.
  expect((await catalog()).filter(({ table }) => table === "events_06")).toHaveLength(2);
  await it.rollback(wanted);
  expect(await catalog()).toEqual(before);

  const { runId } = await it.ensure(wanted);
  expect((await it.ensure(other, { replace: true })).entries).toMatchObject([{ action: "replaced" }]);
  expect((await catalog()).find(({ name }) => name === "mine")).toMatchObject({
    parent: null,
    comment: "ours\nsince May",
  });
  await it.rollback(other);
  expect((await catalog()).find(({ name }) => name === "mine")).toMatchObject({ parent: "by_kind" });
  await it.rollback(other, { runId });
  expect(await catalog()).toEqual(before);
});

test("a unique index without the partition key, and one over foreign tables, are refused before the first statement", async () => {
  const unique = onEvents({ columns: ["day", "tenant"], unique: true });
  const { entries } = await it.ensure(unique);
  expect(entries).toMatchObject([
    { action: "failed", detail: expect.stringMatching(/events_02 is partitioned by LIST \(kind\)/) as string },
  ]);
  expect((await it.check(unique)).targets[0]?.indexes).toMatchObject([{ status: "unusable" }]);
  expect((await it.ensure(onEvents({ columns: ["id"], unique: true }))).entries[0]?.detail).toMatch(
    /public\.events is partitioned by RANGE \(day\)/,
  );
  expect(await catalog()).toEqual([]);
  expect(actions((await it.ensure(onEvents({ columns: ["id", "day", "kind"], unique: true }))).entries)).toEqual({
    by_kind: "created",
  });
  await it.rollback(wanted, { all: true });

  await own.sql.query(`
    CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far;
    CREATE FOREIGN TABLE events_far PARTITION OF events FOR VALUES FROM ('2030-01-01') TO ('2031-01-01') SERVER far`);
  expect((await it.ensure(wanted)).entries).toMatchObject([
    { action: "failed", detail: expect.stringMatching(/foreign tables.*events_far/) as string },
  ]);
  await own.sql.query("DROP FOREIGN DATA WRAPPER far CASCADE");
  expect(await catalog()).toEqual([]);
});

test("statistics sum the partitions, verify names the whole table's index, maintain says why it leaves it", async () => {
  const contract = {
    name: "of a kind",
    sql: "SELECT FROM events WHERE kind = $1 AND day >= '2026-05-01'",
    params: ["e"],
    mode: "could",
  } as const;
  const judged = onEvents({ contracts: [contract] });
  await it.ensure(judged);
  await own.sql.query("ANALYZE events");
  const report = await readStats({ ...targets(judged), keep: false });
  const [target] = report.targets;
  // The server's own count of live rows may lag behind, and count rows twice; three times would be each level's.
  expect(target?.rows).toBeGreaterThanOrEqual(2_000);
  expect(target?.rows).toBeLessThanOrEqual(4_000);
  const index = target?.indexes.find(({ name }) => name === "by_kind");
  expect(index).toMatchObject({ state: "ready", bytes: expect.any(Number) as number });
  const [sum] = (
    await own.sql.query<{ bytes: string }>(
      "SELECT sum(pg_relation_size(relid)) AS bytes FROM pg_partition_tree('by_kind')",
    )
  ).rows;
  expect(index?.bytes).toBe(Number(sum?.bytes));
  const verified = await verifyIndexes(targets(judged));
  expect(verified.entries).toMatchObject([
    { index: "by_kind", verdict: expect.stringMatching(/^(uses|could use)$/) as string },
  ]);
  const maintained = await maintainIndexes({ ...targets(judged), index: "by_kind" });
  expect(maintained).toMatchObject({
    ok: true,
    entries: [
      {
        action: "refused",
        state: "left",
        why: expect.stringMatching(/REINDEX INDEX CONCURRENTLY "public"."by_kind"/) as string,
      },
    ],
  });
});
