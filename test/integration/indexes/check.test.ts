/** What `check` tells, in both databases, and that it and `ensure` change nothing that nobody asked for. */
import { expect, test } from "vitest";
import type pg from "pg";
import { EXIT } from "../../../src/errors.ts";
import type { CheckReport } from "../../../src/indexes/check/check.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { select } from "../../../src/indexes/manifest/selection.ts";
import { actions, EVENTS, type Keeper, onCollection, onTable, statuses, waiting } from "./keeper.ts";
import { cacheIndexes, openSnapshot, openWriter, type Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

let own: Scratch;
let it: Keeper;
let other: pg.Client;
onStage((stage) => ({ own, it, other } = stage));

const events = () => own.mongo.collection(EVENTS);
const statusesOf = ({ targets }: CheckReport) => statuses(targets.flatMap(({ indexes }) => indexes));
const advice = ({ targets }: CheckReport) =>
  targets.flatMap(({ advice: list }) => list.map(({ kind, name }) => `${kind} ${name ?? ""}`.trim())).sort();

test("extra, duplicate, redundant and too many indexes are advice; ensure touches none of them", async () => {
  await own.sql.query(`
    CREATE INDEX extra ON daily_usage_cache USING gin (aggregated_by_user);
    CREATE INDEX twin ON daily_usage_cache (date, kind);
    CREATE INDEX narrow ON daily_usage_cache (date);
    CREATE INDEX backwards ON daily_usage_cache (date DESC);
    CREATE UNIQUE INDEX guard ON daily_usage_cache (date, kind, tenant_id)`);
  await events().createIndex({ a: 1 }, { name: "narrow" });
  await events().createIndex({ a: 1, b: -1 }, { name: "wide" });
  await events().createIndex({ x: 1 }, { name: "extra" });
  const wanted: Manifest = {
    ...onCollection({ name: "wide", keys: [["a", 1], ["b", -1]] }), // prettier-ignore
    ...onTable({ columns: ["date", "kind"] }),
    defaults: { limits: { ...LIMITS, maxIndexes: 3 } },
  };
  const before = [await cacheIndexes(own.sql), await events().listIndexes().toArray()];
  // Its twin is there already, so nothing is created under the declared name.
  expect(actions((await it.ensure(wanted, { replace: true })).entries)).toEqual({ wide: "present", by_day: "present" });
  expect([await cacheIndexes(own.sql), await events().listIndexes().toArray()]).toEqual(before);

  const report = await it.check(wanted);
  expect(report.ok).toBe(true);
  expect(statusesOf(report)).toMatchObject({ wide: "ok", by_day: "renamed", narrow: "extra", guard: "extra" });
  expect(advice(report)).toEqual([
    "extra backwards",
    "extra extra",
    "extra extra",
    "extra guard",
    "extra narrow",
    "extra narrow",
    "over-budget",
    "redundant backwards",
    "redundant narrow",
    "redundant narrow",
    "redundant twin",
  ]);
  const [lenient, strict] = [it.command(wanted, "check"), it.command(wanted, "check", "--strict")];
  expect((await lenient.ended).code).toBe(EXIT.done);
  expect((await strict.ended).code).toBe(EXIT.found);
});

const LIMITS = { hitWarn: 0.95, hitCrit: 0.9, scanShare: 0.01, sizePct: 20, maxIndexes: 10, unusedDays: 30 };

test("ignored indexes are neither extra nor drift", async () => {
  await own.sql.query("CREATE INDEX theirs ON daily_usage_cache (date)");
  const wanted = { ...onTable(), postgres: { "public.daily_usage_cache": [] }, ignore: { postgres: ["theirs"] } };
  expect(advice(await it.check(wanted))).toEqual([]);
  expect(advice(await it.check({ ...wanted, ignore: {} }))).toEqual(["extra theirs"]);
});

test("the indexes of another phase are not extra", async () => {
  const two = onTable({}, { name: "late", phase: 2, columns: ["cached_at"] });
  await it.ensure(two);
  const report = await it.check(select(two, { phase: 2 }));
  expect(statusesOf(report)).toEqual({ late: "ok" });
  expect(advice(report)).toEqual([]);
});

test("check reports a missing index, another definition, a missing table and a refused definition", async () => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (cached_at)");
  await own.sql.query("CREATE TABLE IF NOT EXISTS parts (date date) PARTITION BY RANGE (date)");
  const base = onTable({}, { name: "absent", columns: ["read_at"] }, { name: "refused", columns: ["no_such"] });
  const wanted: Manifest = {
    ...base,
    postgres: {
      ...base.postgres,
      "public.nowhere": [{ name: "lost", why: "test", columns: ["date"] }],
      "public.parts": [{ name: "parted", why: "test", columns: ["date"] }],
    },
    mongo: { nothing: [{ name: "by_b", why: "test", keys: [["b", 1]] }] },
  };
  const report = await it.check(wanted);
  expect(report.ok).toBe(false);
  expect(statusesOf(report)).toEqual({
    by_day: "different",
    absent: "missing",
    refused: "unusable",
    lost: "table-missing",
    parted: "missing",
    by_b: "table-missing",
  });
  const ensured = await it.ensure(wanted);
  expect(actions(ensured.entries)).toEqual({
    by_b: "failed",
    by_day: "different",
    absent: "created",
    refused: "failed",
    lost: "failed",
    parted: "created",
  });
});

test("a running build is reported as building, whoever started it", async () => {
  await openSnapshot(other);
  const running = it.ensure(onTable({}));
  await waiting(own.sql, "CREATE INDEX CONCURRENTLY");
  const { code, stdout } = await it.command(onTable({}), "check").ended;
  expect(code).toBe(EXIT.found);
  expect(statusesOf(JSON.parse(stdout) as CheckReport)).toEqual({ by_day: "building" });
  const undeclared = { ...onTable(), postgres: { "public.daily_usage_cache": [] } };
  expect(statusesOf(await it.check(undeclared))).toEqual({ by_day: "building" });
  await other.query("ROLLBACK");
  expect((await running).ok).toBe(true);
  expect(await it.check(onTable({}))).toMatchObject({
    ok: true,
    targets: [{ indexes: [{ status: "ok", isNew: true }] }],
  });
});

test("an undeclared invalid index is reported and left alone", async () => {
  await openWriter(other);
  const third = await own.connect();
  const theirs = third
    .query("CREATE INDEX CONCURRENTLY theirs ON daily_usage_cache (cached_at)")
    .catch(() => undefined);
  await own.sql.query("SELECT pg_terminate_backend($1)", [await waiting(own.sql, "CREATE INDEX CONCURRENTLY theirs")]);
  await theirs;
  await other.query("ROLLBACK");
  await it.ensure(onTable({}));
  const report = await it.check(onTable({}));
  expect(statusesOf(report)).toEqual({ by_day: "ok", theirs: "invalid-foreign" });
  expect(report.ok).toBe(true);
});

test("new indexes are those that this manifest's newest run made", async () => {
  const wanted = onTable({}, { name: "late", columns: ["cached_at"] });
  const isNew = async () => {
    const { targets } = await it.check(wanted);
    return targets.flatMap(({ indexes }) => indexes.filter((index) => index.isNew).map(({ name }) => name));
  };
  await it.ensure(onTable({}));
  await it.ensure(wanted);
  expect(await isNew()).toEqual(["late"]);
  await it.ensure({ ...onTable({ name: "theirs", columns: ["read_at"] }), project: "another" });
  expect(await isNew()).toEqual(["late"]);
});

test("plan prints the statements that ensure would run, and everything else as comments", async () => {
  const wanted = onTable(
    { name: "left" },
    { name: "kept", columns: ["cached_at"] },
    { name: "two\nlines; DROP TABLE daily_usage_cache; --", columns: [{ expr: "state || '\n;'" }] },
  );
  await own.sql.query("CREATE INDEX kept ON daily_usage_cache (read_at)");
  await openWriter(other);
  const third = await own.connect();
  const left = third.query("CREATE INDEX CONCURRENTLY left_ ON daily_usage_cache (date)").catch(() => undefined);
  await own.sql.query("SELECT pg_terminate_backend($1)", [await waiting(own.sql, "CREATE INDEX CONCURRENTLY left_")]);
  await left;
  await own.sql.query('ALTER INDEX left_ RENAME TO "left"');
  await other.query("ROLLBACK");
  const before = await cacheIndexes(own.sql);

  const text = await it.text(wanted, "plan");
  expect(await cacheIndexes(own.sql)).toEqual(before);
  // One statement a query, as a concurrent build wants it.
  for (const statement of text.split(/;$/m)) {
    if (/^(CREATE|DROP)/m.test(statement)) await own.sql.query(statement);
  }
  expect(statusesOf(await it.check(wanted))).toEqual({
    left: "ok",
    kept: "different",
    [wanted.postgres?.["public.daily_usage_cache"]?.[2]?.name ?? ""]: "ok",
  });
  expect((await cacheIndexes(own.sql)).find(({ name }) => name === "kept")?.definition).toContain("read_at");
  expect(await it.text(onTable({ name: "left" }), "plan")).toMatch(/^-- Nothing to do: 1 /);
});
