import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Manifest, EngineName } from "../../../src/indexes/manifest/manifest.ts";
import { readStats, type StatsReport } from "../../../src/indexes/stats/stats.ts";
import type { TargetReport } from "../../../src/indexes/stats/report.ts";
import { newestReport } from "../../../src/indexes/stats/samples.ts";
import { select } from "../../../src/indexes/manifest/selection.ts";
import { until } from "../../support/until.ts";
import { FORGET, type Scratch, scratch, waitingBuild } from "./scratch.ts";

const manifest: Manifest = {
  version: 1,
  project: "stats",
  postgres: {
    "public.orders": [
      { name: "orders_pkey", constraint: "primary", why: "test", columns: ["id"] },
      { name: "orders_by_kind", why: "test", columns: ["kind"] },
    ],
  },
};
const ROWS = 20_000;
const ROLE = `stats_${randomUUID().slice(0, 8)}`; // roles belong to the whole server

/** As an ensure would make it. */
const LEDGER = `CREATE TABLE public.tallyman_index_ledger (run_id uuid, target text, name text, project text, intent text,
  state text, fingerprint text, definition text, previous text, oid bigint, error text, baseline_bytes bigint,
  baseline_rows bigint, started_at timestamptz, finished_at timestamptz)`;

let own: Scratch;
beforeAll(async () => {
  own = await scratch();
});
afterAll(() => own.drop());
beforeEach(async () => {
  await own.sql.query(`
    ${FORGET};
    DROP TABLE IF EXISTS orders, customers;
    CREATE TABLE customers (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
    INSERT INTO customers SELECT generate_series(1, 100);
    CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, kind int, number int, note text)
      WITH (autovacuum_enabled = off); -- which would move sizes and counts between two looks
    INSERT INTO orders SELECT n, 1 + n % 100, n % 7, n, repeat('x', 100) FROM generate_series(1, ${ROWS}) n;
    CREATE INDEX orders_by_kind ON orders (kind);
    CREATE INDEX orders_by_customer ON orders (customer);
    CREATE UNIQUE INDEX orders_number ON orders (number);
    ANALYZE orders`);
  await flush();
  await scansSeen("orders", 3); // by the builds: none of them is the test's
});

async function stats(engine: EngineName = "postgres", more: Partial<Parameters<typeof readStats>[0]> = {}) {
  const report = await readStats({
    manifest: select(manifest, { engine }),
    mongo: own.mongo,
    databaseUrl: own.databaseUrl,
    ...more,
  });
  return { report, target: report.targets[0] as TargetReport };
}

const kinds = (report: StatsReport) => report.verdicts.map(({ kind, index }) => (index ? `${kind} ${index}` : kind));
const indexOf = (target: TargetReport, name: string) => target.indexes.find((index) => index.name === name);

/** Dates earlier samples back by so many days. */
async function age(days: number): Promise<void> {
  await own.sql.query("UPDATE public.tallyman_index_sample SET taken_at = taken_at - $1 * interval '1 day'", [days]);
}

/** Sends this session's counts at once, where the server can; else it does so within ten seconds. */
async function flush(): Promise<void> {
  await own.sql.query("SELECT pg_stat_force_next_flush()").catch(() => undefined);
}

/** Counters of another session are seen a moment later: scans of an index, or full ones of a table. */
async function scansSeen(name: string, atLeast: number): Promise<void> {
  const counters = `SELECT idx_scan AS scans FROM pg_stat_user_indexes WHERE indexrelname = $1
                     UNION ALL SELECT seq_scan FROM pg_stat_user_tables WHERE relname = $1`;
  await until(`${atLeast} scans of ${name}`, async () => {
    const { rows } = await own.sql.query<{ scans: string }>(counters, [name]);
    return Number(rows[0]?.scans) >= atLeast || undefined;
  });
}

async function repeat(times: number, sql: string): Promise<void> {
  await own.sql.query("SET enable_seqscan = off");
  for (let n = 0; n < times; n += 1) await own.sql.query(sql);
  await own.sql.query("RESET enable_seqscan");
  await flush();
}

describe("PostgreSQL", () => {
  test("sizes and counts are the server's, and the first sample calls no index unused", async () => {
    const { report, target } = await stats();
    const { rows } = await own.sql.query<{ data: string; pkey: string; kind: string }>(
      "SELECT pg_table_size('orders') AS data, pg_relation_size('orders_pkey') AS pkey, pg_relation_size('orders_by_kind') AS kind",
    );
    expect(target).toMatchObject({ engine: "postgres", target: "public.orders", rows: ROWS, samples: 1 });
    expect(target.dataBytes).toBe(Number(rows[0]?.data));
    expect(indexOf(target, "orders_pkey")).toMatchObject({
      bytes: Number(rows[0]?.pkey),
      declaredAs: "orders_pkey",
      guards: ["primary key", "replica identity"],
    });
    expect(indexOf(target, "orders_by_kind")).toMatchObject({ bytes: Number(rows[0]?.kind), guards: [], hit: null });
    expect(indexOf(target, "orders_by_customer")?.guards).toEqual(["foreign key"]);
    expect(indexOf(target, "orders_number")?.guards).toEqual(["unique"]);
    expect(target.notes.join()).toContain("this is the first sample");
    expect(kinds(report)).toEqual([]);
    expect(report.ok).toBe(true);
  });

  test("the second sample shows what was used since the first", async () => {
    await stats();
    await age(1 / 24);
    await repeat(200, "SELECT note FROM orders WHERE kind = 3 LIMIT 10");
    await scansSeen("orders_by_kind", 200);
    const { target } = await stats();
    expect(target.samples).toBe(2);
    const used = indexOf(target, "orders_by_kind");
    expect(used?.newScans).toBeGreaterThanOrEqual(200);
    expect(used?.hit?.value).toBeGreaterThan(0.9);
    expect(used?.unusedSince).toBeNull();
    const { rows } = await own.sql.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version",
    );
    expect(used?.lastScan !== null).toBe((rows[0]?.version ?? 0) >= 160_000);
    expect(indexOf(target, "orders_by_customer")).toMatchObject({ newScans: 0, unusedSince: target.firstSample });
    expect(target.fullScans?.value).toBe(0);
  });

  test("full scans of a large table are an alert with their share; scans by a build do not count", async () => {
    await stats();
    for (let n = 0; n < 12; n += 1) await own.sql.query("SELECT count(*) FROM orders WHERE note = 'y'");
    await flush();
    await until("twelve full scans", async () => ((await stats()).target.fullScans?.part ?? 0) >= 12 || undefined);
    const { report } = await stats();
    expect(kinds(report)).toEqual(["full-scans"]);
    expect(report.ok).toBe(false);
    expect(report.verdicts[0]?.sentence).toMatch(/^100 % of its 1\d scans since .* the limit is 1 %;/);

    await own.sql.query(`
      ${LEDGER};
      INSERT INTO public.tallyman_index_ledger (run_id, target, name, project, intent, state, fingerprint, definition, started_at, finished_at)
      VALUES (gen_random_uuid(), 'public.orders', 'orders_by_kind', 'stats', 'create', 'done', '', '', now(), now())`);
    const during = await stats();
    expect(during.target.fullScans).toBeNull();
    expect(during.report.ok).toBe(true);
  });

  test("an index is unused after the window, unless it has a duty besides serving reads", async () => {
    await stats();
    await age(29);
    expect(kinds((await stats()).report)).toEqual([]);
    await age(2);
    const { report } = await stats();
    expect(kinds(report)).toEqual(["unused orders_by_kind"]);
    expect(report.verdicts[0]).toMatchObject({ level: "warn" });
    expect(report.verdicts[0]?.sentence).toMatch(/window 30 days.*this node/);
    await repeat(1, "SELECT note FROM orders WHERE kind = 3 LIMIT 1");
    await scansSeen("orders_by_kind", 1);
    expect(kinds((await stats()).report)).toEqual([]);
  });

  test("after a reset of the counters no index is called unused until a later sample", async () => {
    await repeat(3, "SELECT note FROM orders WHERE kind = 3 LIMIT 1");
    await scansSeen("orders_by_kind", 3);
    await stats();
    await age(40);
    await own.sql.query("SELECT pg_stat_reset()");
    const { report, target } = await stats();
    expect(kinds(report)).toEqual([]);
    expect(target.since).not.toBeNull();
    expect(indexOf(target, "orders_by_kind")).toMatchObject({ newScans: null, unusedSince: null, hit: null });
    expect(target.fullScans).toBeNull();
    const later = await stats();
    expect(indexOf(later.target, "orders_by_kind")).toMatchObject({ newScans: 0 });
    expect(Date.parse(indexOf(later.target, "orders_by_kind")?.unusedSince ?? "")).toBeGreaterThanOrEqual(
      Date.parse(target.since ?? ""),
    );

    // A sample was kept a moment ago, but of counters that are no more.
    await own.sql.query("SELECT pg_stat_reset()");
    expect(indexOf((await stats()).target, "orders_by_kind")).toMatchObject({ newScans: null });
    expect(indexOf((await stats()).target, "orders_by_kind")).toMatchObject({ newScans: 0 });
  });

  test("a missing, different or invalid index is reported at the first sample", async () => {
    await own.sql.query("DROP INDEX orders_by_kind; CREATE INDEX orders_by_kind ON orders (kind, number)");
    expect(kinds((await stats()).report)).toContain("different orders_by_kind");
    await own.sql.query("DROP INDEX orders_by_kind");
    expect(kinds((await stats()).report)).toContain("missing orders_by_kind");
    await own.sql.query("INSERT INTO orders (id, kind) VALUES (-1, -1), (-2, -1)");
    const build = own.sql.query("CREATE UNIQUE INDEX CONCURRENTLY orders_by_kind ON orders (kind)");
    await expect(build).rejects.toThrow(/could not create unique index/);
    const { report, target } = await stats();
    expect(kinds(report)).toContain("invalid orders_by_kind");
    expect(report.ok).toBe(false);
    expect(indexOf(target, "orders_by_kind")?.state).toBe("invalid");
  });

  test("an index that is being built is reported as building, not as invalid", async () => {
    const [builder, writer] = [await own.connect(), await own.connect()];
    await writer.query("BEGIN; UPDATE orders SET note = 'z' WHERE id = 1");
    const build = builder.query("CREATE INDEX CONCURRENTLY later ON orders (note)");
    await waitingBuild(own.sql);
    const { report, target } = await stats().finally(async () => {
      await writer.query("ROLLBACK");
      await build;
    });
    expect(indexOf(target, "later")?.state).toBe("building");
    expect(kinds(report)).toEqual([]);
  });

  test("bloat is measured against the least bytes per entry seen of the index", async () => {
    await own.sql.query("DROP INDEX orders_by_customer, orders_number, orders_by_kind");
    await own.sql.query("ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey, SET UNLOGGED");
    await own.sql.query("INSERT INTO orders SELECT n, 1, n % 7, n, '' FROM generate_series(100001, 700000) n");
    await own.sql.query("REINDEX TABLE orders; ANALYZE orders");
    await stats();
    await own.sql.query("DELETE FROM orders WHERE id % 5 <> 0");
    await own.sql.query("VACUUM orders");
    const { report, target } = await stats();
    expect(indexOf(target, "orders_pkey")?.bloat).toBeGreaterThan(4.5);
    expect(indexOf(target, "orders_pkey")?.baseline).toMatchObject({ of: "sample" });
    expect(kinds(report)).toContain("bloat orders_pkey");
    expect(target.notes.join()).toContain("bloat of indexes that the keeper did not build");
  });

  test("a missing table is an alert, not an error", async () => {
    await own.sql.query("DROP TABLE orders");
    const { report, target } = await stats();
    expect(kinds(report)).toEqual(["missing"]);
    expect(target.unusable).toMatch(/there is no such table/);
  });
});

describe("stored samples", () => {
  test("eight processes that start at once create the tables once", async () => {
    const reports = await Promise.all(Array.from({ length: 8 }, () => stats()));
    expect(reports.map(({ report }) => report.notKept)).toEqual(Array(8).fill(undefined));
    expect((await own.sql.query("SELECT count(*)::int AS n FROM public.tallyman_index_sample")).rows[0]).not.toEqual({
      n: 0,
    });
  });

  test("samples in quick succession are stored once, and old ones thin out to one a day", async () => {
    for (let n = 0; n < 3; n += 1) await stats();
    const count = async () =>
      (await own.sql.query<{ n: number }>("SELECT count(*)::int AS n FROM public.tallyman_index_sample")).rows[0]?.n;
    expect(await count()).toBe(1);
    await own.sql.query(`
      INSERT INTO public.tallyman_index_sample
      SELECT engine, database, target, date_trunc('day', now(), 'UTC') - interval '10 days' + h * interval '1 hour', figures
        FROM public.tallyman_index_sample, generate_series(0, 47) h;
      INSERT INTO public.tallyman_index_sample
      SELECT engine, database, target, taken_at - interval '401 days', figures FROM public.tallyman_index_sample ORDER BY taken_at DESC LIMIT 1`);
    await stats();
    expect(await count()).toBe(1 + 2);
  });

  test("without the right to store samples the report still has the present figures", async () => {
    await own.sql.query(`CREATE ROLE ${ROLE} LOGIN; GRANT SELECT ON orders, customers TO ${ROLE}`);
    const url = new URL(own.databaseUrl);
    url.username = ROLE;
    const { report, target } = await stats("postgres", { databaseUrl: url.href });
    expect(report.notKept).toMatch(/permission denied/);
    expect(target.indexes).toHaveLength(4);
    await own.sql.query(LEDGER);
    expect((await stats("postgres", { databaseUrl: url.href })).target.notes.join()).toContain("ledger cannot be read");
    await own.sql.query(`DROP OWNED BY ${ROLE}; DROP ROLE ${ROLE}`);
  });

  test("the published report can be read by a role without any other right on the keeper's tables", async () => {
    expect(await newestReport(own.sql)).toBeUndefined();
    await own.sql.query(`CREATE ROLE ${ROLE} LOGIN`);
    const { report } = await stats("postgres", { publishFor: ROLE });
    await own.sql.query(`SET ROLE ${ROLE}`);
    expect(await newestReport<StatsReport>(own.sql)).toEqual(report);
    await expect(own.sql.query("SELECT 1 FROM public.tallyman_index_sample")).rejects.toThrow(/permission denied/);
    await own.sql.query(`RESET ROLE; DROP OWNED BY ${ROLE}; DROP ROLE ${ROLE}`);
  });
});
