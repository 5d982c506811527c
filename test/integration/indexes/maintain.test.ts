import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { ensureIndexes } from "../../../src/indexes/ensure/ensure.ts";
import { maintainIndexes, type MaintainOptions } from "../../../src/indexes/maintain.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { readStats } from "../../../src/indexes/stats/stats.ts";
import { select } from "../../../src/indexes/manifest/selection.ts";
import { endProcesses, startProgram } from "../../support/process.ts";
import { until } from "../../support/until.ts";
import { FORGET, type Scratch, scratch, withEndlessPatience } from "./scratch.ts";

const BLOATED = "jobs_by_due";
const manifest: Manifest = {
  version: 1,
  project: "maintain",
  mongo: { notes: [{ name: "by_owner", why: "test", keys: [["owner", 1]] }] },
  postgres: {
    "public.jobs": [
      { name: BLOATED, why: "test", columns: ["due"] },
      { name: "jobs_small", why: "test", columns: ["kind"] },
    ],
  },
};

let own: Scratch;
let other: pg.Client;
beforeAll(async () => {
  own = await scratch();
  other = await own.connect();
  await own.mongo.collection("notes").insertMany(Array.from({ length: 500 }, (_, n) => ({ owner: n })));
});
afterAll(async () => {
  await endProcesses();
  await own.drop();
});
afterEach(() => other.query("ROLLBACK"));
beforeEach(async () => {
  await own.sql.query(`
    ${FORGET};
    DROP TABLE IF EXISTS jobs;
    CREATE UNLOGGED TABLE jobs (due int, kind int) WITH (autovacuum_enabled = off); -- a rebuild waits for it too
    INSERT INTO jobs SELECT n, 1 FROM generate_series(1, 600000) n;
    ANALYZE jobs`);
});

const targets = () => ({
  manifest: select(manifest, { engine: "postgres" }),
  mongo: own.mongo,
  databaseUrl: own.databaseUrl,
});
const maintain = (options: Partial<MaintainOptions> = {}) => maintainIndexes({ ...targets(), ...options });

interface Index {
  name: string;
  oid: string;
  bytes: number;
  valid: boolean;
}

async function indexes(): Promise<Record<string, Index>> {
  const { rows } = await own.sql.query<Index>(`
    SELECT c.relname AS name, c.oid::text AS oid, pg_relation_size(c.oid)::float8 AS bytes, i.indisvalid AS valid
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'jobs'::regclass`);
  return Object.fromEntries(rows.map((row) => [row.name, row]));
}

/** An index made by the keeper, and then four fifths of its entries gone. */
async function bloat(): Promise<void> {
  expect((await ensureIndexes(targets())).ok).toBe(true);
  await own.sql.query("DELETE FROM jobs WHERE due % 5 <> 0");
  await own.sql.query("VACUUM ANALYZE jobs");
}

/** The backend of such a statement, once it waits for somebody. */
async function waiting(statement: string): Promise<number> {
  return until(`${statement} that waits`, async () => {
    const { rows } = await own.sql.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE $1 AND wait_event_type = 'Lock'`,
      [statement],
    );
    return rows[0]?.pid;
  });
}

const waitingRebuild = () => waiting("REINDEX%");

/** Somebody's own failed build, under just the name that a rebuild would leave. */
async function leaveSomebodyElses(): Promise<void> {
  await own.sql.query("INSERT INTO jobs VALUES (-1, 7), (-1, 8)");
  await own.sql.query(`CREATE UNIQUE INDEX CONCURRENTLY ${BLOATED}_ccnew ON jobs (due)`).catch(() => undefined);
  expect((await indexes())[`${BLOATED}_ccnew`]?.valid).toBe(false);
}

/** In a transaction that has written: a rebuild waits for its end. */
async function standInTheWay(): Promise<void> {
  await other.query("BEGIN");
  await other.query("UPDATE jobs SET kind = 2 WHERE due = 5");
}

describe("PostgreSQL", () => {
  test("a bloated index is rebuilt and the table analyzed; a dry run before changes nothing, a second run has nothing to do", async () => {
    await bloat();
    const before = await indexes();
    const planned = await maintain({ dryRun: true });
    expect(planned.entries).toMatchObject([
      { name: BLOATED, action: "reindex", state: "planned", bytesBefore: before[BLOATED]?.bytes },
      { name: "jobs_small", action: "none", state: "left" },
    ]);
    expect(await indexes()).toEqual(before);
    const { rows: made } = await own.sql.query(
      "SELECT relname FROM pg_class WHERE relname LIKE 'tallyman\\_%' AND relkind = 'r'",
    );
    expect(made).toEqual([{ relname: "tallyman_index_ledger" }]);

    const report = await maintain();
    expect(report).toMatchObject({ ok: true, dryRun: false });
    const [rebuilt] = report.entries;
    expect(rebuilt).toMatchObject({ name: BLOATED, action: "reindex", state: "done" });
    expect(rebuilt?.bytesAfter).toBeLessThan((before[BLOATED]?.bytes ?? 0) / 4);
    const after = await indexes();
    expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
    expect(after[BLOATED]).toMatchObject({ valid: true, bytes: rebuilt?.bytesAfter });
    expect(after[BLOATED]?.oid).not.toBe(before[BLOATED]?.oid);
    expect(after["jobs_small"]).toEqual(before["jobs_small"]);

    // The ledger knows it by its new identity, and later bloat is measured against its new size.
    const { rows } = await own.sql.query(
      "SELECT oid::text, baseline_bytes::float8 AS bytes FROM public.tallyman_index_ledger WHERE name = $1",
      [BLOATED],
    );
    expect(rows).toEqual([{ oid: after[BLOATED]?.oid, bytes: rebuilt?.bytesAfter }]);
    expect((await maintain()).entries.map(({ action }) => action)).toEqual(["none", "none"]);
    const {
      targets: [stats],
    } = await readStats(targets());
    expect(stats?.indexes.find(({ name }) => name === BLOATED)).toMatchObject({ bloat: 1, baseline: { of: "build" } });
  });

  test("a named index is rebuilt, bloated or not; an unknown name is a usage error", async () => {
    await ensureIndexes(targets());
    const before = await indexes();
    const report = await maintain({ index: "jobs_small" });
    expect(report.entries).toMatchObject([{ name: "jobs_small", state: "done" }]);
    const after = await indexes();
    expect(after["jobs_small"]?.oid).not.toBe(before["jobs_small"]?.oid);
    expect(after[BLOATED]).toEqual(before[BLOATED]);
    await expect(maintain({ index: "nothing" })).rejects.toThrow(UsageError);
  });

  test("two processes at once rebuild an index once", async () => {
    await bloat();
    const reports = await Promise.all([maintain(), maintain()]);
    const ends = reports.flatMap(({ entries }) =>
      entries.filter(({ name }) => name === BLOATED).map(({ state }) => state),
    );
    expect(ends.sort()).toEqual(["done", "left"]);
  });

  test("a cancelled rebuild leaves nothing of its own, and somebody else's leftover stays", async () => {
    await ensureIndexes(targets());
    await leaveSomebodyElses();
    const before = await indexes();
    await standInTheWay();
    const cancel = new AbortController();
    const running = maintain({ index: BLOATED, signal: cancel.signal });
    await waitingRebuild();
    expect((await indexes())[`${BLOATED}_ccnew1`]?.valid).toBe(false);
    const report = await withEndlessPatience(async () => {
      cancel.abort();
      await waiting("DROP INDEX%");
      await other.query("ROLLBACK");
      return running;
    });
    expect(report).toMatchObject({ ok: false, entries: [{ name: BLOATED, state: "failed", why: "cancelled" }] });
    expect(await indexes()).toEqual(before);
  });

  test("a rebuild whose backend is lost is cleared up in the same run", async () => {
    await ensureIndexes(targets());
    const before = await indexes();
    await standInTheWay();
    const running = maintain({ index: BLOATED });
    const pid = await waitingRebuild();
    const report = await withEndlessPatience(async () => {
      await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
      await until("a leftover", async () => ((await indexes())[`${BLOATED}_ccnew`] ? true : undefined));
      await other.query("ROLLBACK");
      return running;
    });
    expect(report.entries).toMatchObject([{ name: BLOATED, state: "failed" }]);
    expect(await indexes()).toEqual(before);
  });

  test("the next run drops the leftover of a killed process and its lost backend", async () => {
    await ensureIndexes(targets());
    await leaveSomebodyElses();
    const before = await indexes();
    await standInTheWay();
    // A process of its own: only such a one can be killed.
    const script = `
      import { MongoClient } from "mongodb";
      import { maintainIndexes } from ${JSON.stringify(new URL("../../../src/indexes/maintain.ts", import.meta.url).href)};
      const manifest = ${JSON.stringify(select(manifest, { engine: "postgres" }))};
      const mongo = new MongoClient("mongodb://127.0.0.1:1/none").db();
      await maintainIndexes({ manifest, mongo, databaseUrl: ${JSON.stringify(own.databaseUrl)}, index: "${BLOATED}" });`;
    const child = startProgram(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script], {});
    const pid = await waitingRebuild();
    child.signal("SIGKILL");
    await child.ended;
    await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
    await other.query("ROLLBACK");
    await until("a leftover", async () => ((await indexes())[`${BLOATED}_ccnew1`]?.valid === false ? true : undefined));

    const planned = await maintain({ dryRun: true });
    expect(planned.entries).toContainEqual(
      expect.objectContaining({ name: `${BLOATED}_ccnew1`, action: "drop", state: "planned" }),
    );
    const report = await maintain();
    expect(report.entries).toContainEqual(
      expect.objectContaining({ name: `${BLOATED}_ccnew1`, action: "drop", state: "done" }),
    );
    expect(await indexes()).toEqual(before);
    expect((await maintain()).entries.map(({ action }) => action)).toEqual(["none", "none"]);
  });

  test("the index of an exclusion constraint is refused", async () => {
    await own.sql.query("ALTER TABLE jobs ADD CONSTRAINT jobs_once EXCLUDE (due WITH =)");
    const report = await maintain({ index: "jobs_once" });
    expect(report.entries).toMatchObject([{ action: "refused", state: "left" }]);
  });
});

describe("MongoDB", () => {
  test("compact runs only on request", async () => {
    const all = { manifest: select(manifest, { engine: "mongodb" }) };
    expect((await maintain(all)).entries).toEqual([]);
    const planned = await maintain({ ...all, compact: true, dryRun: true });
    expect(planned.entries).toMatchObject([
      { engine: "mongodb", target: "notes", action: "compact", state: "planned" },
    ]);
    const { entries } = await maintain({ ...all, compact: true });
    expect(entries).toMatchObject([{ target: "notes", action: "compact", state: "done" }]);
    expect(entries[0]?.bytesAfter).toBeGreaterThan(0);
  });

  test("compact of a missing collection is refused", async () => {
    const gone: Manifest = { version: 1, project: "maintain", mongo: { [`gone_${randomUUID()}`]: [] } };
    const { entries } = await maintain({ manifest: gone, compact: true });
    expect(entries).toMatchObject([{ action: "refused", state: "left", why: "there is no such collection" }]);
  });
});
