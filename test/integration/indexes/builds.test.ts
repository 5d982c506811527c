/** Builds that meet trouble: interrupted, cancelled, in each other's way. All on PostgreSQL, where a build has phases. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type pg from "pg";
import { EXIT, LockedError } from "../../../src/errors.ts";
import { ensureIndexes, type EnsureOptions } from "../../../src/indexes/ensure/ensure.ts";
import { select } from "../../../src/indexes/manifest/selection.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { until } from "../../support/until.ts";
import { cacheIndexes, makeCache, openSnapshot, openWriter, type Scratch, scratch, waitingBuild } from "./scratch.ts";

const NAME = "by_day";
const BUILD = `CREATE INDEX CONCURRENTLY ${NAME} ON daily_usage_cache (date, tenant_id)`;
const manifest: Manifest = {
  version: 1,
  project: "test",
  postgres: { "public.daily_usage_cache": [{ name: NAME, why: "test", columns: ["date", "tenant_id"] }] },
};

let own: Scratch;
let other: pg.Client;
let third: pg.Client;
beforeAll(async () => {
  own = await scratch();
  [other, third] = [await own.connect(), await own.connect()];
});
afterAll(() => own.drop());
beforeEach(() => makeCache(own.sql));
afterEach(() => other.query("ROLLBACK"));

function ensure(options: Partial<EnsureOptions> = {}) {
  const postgres = select(manifest, { engine: "postgres" });
  return ensureIndexes({ manifest: postgres, mongo: own.mongo, databaseUrl: own.databaseUrl, ...options });
}

async function index() {
  return (await cacheIndexes(own.sql)).find(({ name }) => name === NAME);
}

/** What a build that lost its backend leaves behind. */
async function leaveInvalid(): Promise<void> {
  await openWriter(other);
  const builder = await own.connect();
  const build = builder.query(BUILD).catch(() => undefined);
  const pid = await waitingBuild(own.sql);
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await build;
  await other.query("ROLLBACK");
  expect(await index()).toMatchObject({ valid: false });
}

test("an invalid leftover is dropped and built again", async () => {
  await leaveInvalid();
  const report = await ensure();
  expect(report.entries).toMatchObject([{ name: NAME, action: "repaired" }]);
  expect(await index()).toMatchObject({ valid: true });
});

test("an invalid index of another definition is reported, not dropped", async () => {
  await leaveInvalid();
  const before = await index();
  const another: Manifest = {
    ...manifest,
    postgres: { "public.daily_usage_cache": [{ name: NAME, why: "test", columns: ["cached_at"] }] },
  };
  const report = await ensure({ manifest: another });
  expect(report.entries).toMatchObject([{ action: "different" }]);
  expect(report.entries[0]?.detail).toMatch(/^invalid, .*keys: declared "cached_at", found "date, tenant_id"/);
  expect(await index()).toEqual(before);
});

test("a build whose own backend is lost is repeated in the same run", async () => {
  await openWriter(other);
  const running = ensure();
  const pid = await waitingBuild(own.sql);
  await own.sql.query("SELECT pg_terminate_backend($1)", [pid]);
  await until("leftover", async () => ((await index())?.valid === false ? true : undefined));
  await other.query("ROLLBACK");
  expect((await running).entries).toMatchObject([{ action: "repaired" }]);
  expect(await index()).toMatchObject({ valid: true });
});

test("another session's build is waited for, not dropped", async () => {
  await openWriter(other);
  const theirs = third.query(BUILD);
  await waitingBuild(own.sql);
  const oid = (await index())?.oid;
  const lines: string[] = [];
  const running = ensure({ onProgress: (line) => lines.push(line) });
  await until("word of the wait", () =>
    Promise.resolve(lines.find((line) => line.includes("another session's build"))),
  );
  await other.query("ROLLBACK");
  await theirs;
  expect((await running).entries).toMatchObject([{ action: "adopted" }]);
  expect(await index()).toMatchObject({ valid: true, oid });
});

test("no build begins beside another session's build on the same table, which would deadlock", async () => {
  await openWriter(other);
  const theirs = third.query("CREATE INDEX CONCURRENTLY theirs ON daily_usage_cache (cached_at)");
  await waitingBuild(own.sql);
  const lines: string[] = [];
  const running = ensure({ onProgress: (line) => lines.push(line) });
  await until("word of the wait", () =>
    Promise.resolve(lines.find((line) => line.includes("another session's build"))),
  );
  await other.query("ROLLBACK");
  await theirs;
  expect((await running).entries).toMatchObject([{ action: "created" }]);
});

test("writers go on while a build runs, and its waits are reported with the session in the way", async () => {
  await openSnapshot(other);
  const lines: string[] = [];
  const running = ensure({ onProgress: (line) => lines.push(line) });
  const pid = await waitingBuild(own.sql);
  await third.query("INSERT INTO daily_usage_cache (tenant_id, date) VALUES ('new', '2026-06-01')");
  await third.query("UPDATE daily_usage_cache SET cached_at = now() WHERE date = '2026-01-01'");
  expect(await waitingBuild(own.sql)).toBe(pid); // both are committed, and it waits as before
  await until("word of the wait", () => Promise.resolve(lines.find((line) => line.includes("behind pid"))));
  await other.query("ROLLBACK");
  expect((await running).entries).toMatchObject([{ action: "created" }]);
  expect(lines.join("\n")).toMatch(/waiting for old snapshots.*, behind pid \d+/);
});

test("a second run gives up on the lock after its waiting time, with exit 3, and says who holds it", async () => {
  await openWriter(other);
  const running = ensure();
  await waitingBuild(own.sql);
  const error: unknown = await ensure({ waitMs: 300 }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LockedError);
  expect(error).toMatchObject({
    exitCode: EXIT.locked,
    message: expect.stringContaining("tallyman indexes") as string,
  });
  await other.query("ROLLBACK");
  expect((await running).ok).toBe(true);
});

test("a cancelled build leaves no invalid index, and later builds do not begin", async () => {
  await openSnapshot(other);
  const two: Manifest = {
    ...manifest,
    postgres: {
      "public.daily_usage_cache": [
        { name: NAME, why: "test", columns: ["date", "tenant_id"] },
        { name: "later", why: "test", phase: 2, columns: ["cached_at"] },
      ],
    },
  };
  const stop = new AbortController();
  const running = ensure({ manifest: two, signal: stop.signal });
  await waitingBuild(own.sql);
  stop.abort();
  const report = await running;
  expect(report.ok).toBe(false);
  expect(report.entries).toMatchObject([
    { action: "failed", detail: "cancelled" },
    { action: "failed", detail: "not started: cancelled" },
  ]);
  expect((await cacheIndexes(own.sql)).map(({ name }) => name)).toEqual(["daily_usage_cache_pkey"]);
});

test("a run cancelled before it has the lock does nothing", async () => {
  const report = await ensure({ signal: AbortSignal.abort() });
  expect(report.entries).toMatchObject([{ action: "failed", detail: "not started: cancelled" }]);
});

test("a build that waits too long for other sessions is cancelled", async () => {
  await openSnapshot(other);
  const report = await ensure({ manifest: { ...manifest, defaults: { maxWaitMs: 100 } } });
  expect(report.entries).toMatchObject([{ action: "failed" }]);
  expect(report.entries[0]?.detail).toMatch(/^cancelled after waiting \d+ ms: .*behind pid/);
  expect(await index()).toBeUndefined();
});

test("after a lock timeout the look at the table is repeated", async () => {
  await other.query("BEGIN");
  await other.query("LOCK TABLE daily_usage_cache IN ACCESS EXCLUSIVE MODE");
  const running = ensure();
  // Each wait is a statement of its own, known by its begin.
  const waits = new Set<string>();
  await until("second wait for the table", async () => {
    const { rows } = await own.sql.query<{ begun: string }>(
      `SELECT query_start::text AS begun FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'`,
    );
    for (const { begun } of rows) waits.add(begun);
    return waits.size >= 2 || undefined;
  });
  await other.query("ROLLBACK");
  expect((await running).entries).toMatchObject([{ action: "created" }]);
});
