/** Contracts on a real PostgreSQL that are not kept, each with its reason, and what verifying may and may not do. */
import type pg from "pg";
import { describe, expect, test } from "vitest";
import { UnreachableError, UsageError } from "../../../src/errors.ts";
import type { VerifyOptions } from "../../../src/indexes/verify/verify.ts";
import { AT, CUSTOMER, manifestOf, orders } from "./verify-orders.ts";

const MANY = 30_000;
const { own, verify, verdictOf } = orders(MANY);

describe("says why", () => {
  test("a missing term of a partial index's predicate is named, and no other", async () => {
    const sql = `SELECT * FROM "Order" WHERE "createdAt" <= $1 AND amount > 5`;
    const missing = await verdictOf("open_ones", { sql, params: [AT] });
    expect(missing).toMatchObject({ verdict: "cannot use", ok: false });
    expect(missing.why).toEqual([
      "the query does not imply the index's predicate: add status = 'open'::text with fixed values",
    ]);
    const implied = await verdictOf("open_ones", { sql: `${sql} AND status IN ('open')`, params: [AT] });
    expect(implied).toMatchObject({ verdict: "uses", ok: true });
  });

  test("a predicate that only a parameter implies is proven for that value only: a generic plan does not use the index", async () => {
    const sql = `SELECT * FROM "Order" WHERE status = $1 AND amount > 0 AND "createdAt" <= $2`;
    const byParameter = await verdictOf("open_ones", { sql, params: [{ sample: "status" }, AT] });
    expect(byParameter).toMatchObject({
      verdict: "uses",
      ok: true,
      advice: [expect.stringMatching(/^a generic plan/)],
    });
    const literal = await verdictOf("open_ones", {
      sql: sql.replace("$1", "'open'").replace("$2", "$1"),
      params: [AT],
    });
    expect(literal).toMatchObject({ verdict: "uses", ok: true, advice: [] });
  });

  test.each([
    [
      "another first column",
      "by_customer",
      `amount = $1`,
      { sample: "amount" },
      /nothing with the index's first column, customer/,
    ],
    [
      "another type",
      "Order_pkey",
      `id = $1::numeric`,
      { sample: "id" },
      /wrong type: id is bigint and is compared as numeric/,
    ],
    ["another collation", "by_customer", `customer COLLATE "POSIX" = $1`, CUSTOMER, /the collation differs/],
    [
      "an operator that GIN has not",
      "by_doc",
      `doc = $1`,
      { sample: "doc" },
      /a gin index cannot serve this condition on doc/,
    ],
  ])("says why it cannot: %s", async (_, index, condition, param, wanted) => {
    const entry = await verdictOf(index, { sql: `SELECT * FROM "Order" WHERE ${condition}`, params: [param] });
    expect(entry).toMatchObject({ verdict: "cannot use", ok: false });
    expect(entry.why[0]).toMatch(wanted);
  });
});

test("no contract can write, by whatever trick", async () => {
  await own().sql.query(
    `CREATE FUNCTION shop.sneaky() RETURNS int LANGUAGE sql AS 'DELETE FROM shop."Order" RETURNING 1'`,
  );
  const entry = await verdictOf("by_customer", { sql: "SELECT shop.sneaky()" });
  expect(entry).toMatchObject({ ok: false, why: [expect.stringMatching(/read-only transaction/)] });
  await expect(verdictOf("by_customer", { sql: `SELECT 1; DELETE FROM shop."Order"` })).rejects.toThrow(UsageError);
  const { rows } = await own().sql.query<{ n: number }>(`SELECT count(*)::int AS n FROM shop."Order"`);
  expect(rows[0]?.n).toBe(MANY);
});

test("a missing or invalid index breaks the contract; an equal one of any name keeps it", async () => {
  const contract = { sql: `SELECT * FROM "Order" WHERE customer = $1`, params: [CUSTOMER] };
  await own().sql.query("ALTER INDEX shop.by_customer RENAME TO theirs");
  expect(await verdictOf("by_customer", contract)).toMatchObject({ verdict: "uses", ok: true, used: ["theirs"] });
  const [physical] = (await verify(manifestOf({ open_ones: contract }), { physicalNames: { open_ones: "theirs" } }))
    .entries;
  expect(physical).toMatchObject({ index: "open_ones", verdict: "uses", ok: true });
  await own().sql.query("DROP INDEX shop.theirs");
  expect(await verdictOf("by_customer", contract)).toMatchObject({
    ok: false,
    why: ["there is no index by_customer"],
  });
  await own().sql.query(`CREATE INDEX by_customer ON shop."Order" (customer, "createdAt" DESC)`);
  await own().sql.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.by_customer'::regclass");
  expect(await verdictOf("by_customer", contract)).toMatchObject({ ok: false, why: ["the index is invalid"] });
});

test("only the selected contracts are verified", async () => {
  const contract = { sql: `SELECT * FROM "Order" WHERE customer = $1`, params: [CUSTOMER] };
  const manifest = manifestOf({ by_customer: contract, by_doc: { sql: "SELECT 1" } }, [{ name: "q", sql: "SELECT 1" }]);
  const names = async (only: NonNullable<VerifyOptions["only"]>) =>
    (await verify(manifest, { only })).entries.map(({ index }) => index);
  expect(await names({ indexes: ["by_customer"] })).toEqual(["by_customer"]);
  expect(await names({ target: "shop.Order" })).toEqual(["by_customer", "by_doc", null]);
  expect(await names({ target: "shop.other" })).toEqual([]);
});

test("indexes of partitions count as the index of the partitioned table", async () => {
  await own().sql.query(`CREATE TABLE shop.event (tenant text, at timestamptz) PARTITION BY RANGE (at)`);
  await own().sql.query(
    `CREATE TABLE shop.event_a PARTITION OF shop.event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')`,
  );
  await own().sql.query(
    `CREATE TABLE shop.event_b PARTITION OF shop.event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`,
  );
  await own().sql.query(
    `INSERT INTO shop.event SELECT 't' || i % 400, timestamptz '2026-01-01' + i * interval '1 minute' FROM generate_series(1, 80000) i`,
  );
  await own().sql.query(`CREATE INDEX by_tenant ON shop.event (tenant)`);
  await own().sql.query("VACUUM ANALYZE shop.event");
  const contracts = [{ name: "c", sql: "SELECT * FROM event WHERE tenant = $1", params: [{ sample: "tenant" }] }];
  const index = { name: "by_tenant", why: "test", columns: ["tenant"], contracts };
  const { entries } = await verify({ version: 1, project: "test", postgres: { "shop.event": [index] } });
  expect(entries[0]).toMatchObject({ verdict: "uses", ok: true, used: ["by_tenant"], returned: 200 });
  await own().sql.query("DROP TABLE shop.event");
});

test("a refused query, a missing table and a server that is away are reported differently", async () => {
  const refused = await verdictOf("by_doc", { sql: `SELECT * FROM "Order" WHERE nothing = 1` });
  expect(refused).toMatchObject({
    ok: false,
    why: [expect.stringMatching(/^the server refuses the query: .*nothing/)],
  });
  const index = { name: "i", why: "test", columns: ["a"], contracts: [{ name: "c", sql: "SELECT 1" }] };
  const [missing] = (await verify({ version: 1, project: "test", postgres: { "shop.none": [index] } })).entries;
  expect(missing).toMatchObject({ verdict: "cannot use", ok: false, why: ["there is no such table"] });
  const away = new URL(own().databaseUrl);
  away.port = "1";
  const manifest = manifestOf({ by_doc: { sql: `SELECT * FROM "Order"` } });
  await expect(verify(manifest, { databaseUrl: away.href })).rejects.toThrow(UnreachableError);
});

test("verify leaves nothing behind, and stops between two contracts", async () => {
  const manifest = manifestOf({
    by_customer: { sql: `SELECT * FROM "Order" WHERE amount = 1` },
    by_doc: { sql: "SELECT 1" },
  });
  const stop = new AbortController();
  const seen: string[] = [];
  const onProgress = (line: string) => {
    seen.push(line);
    stop.abort(new Error("enough"));
  };
  await expect(verify(manifest, { onProgress, signal: stop.signal })).rejects.toThrow("enough");
  expect(seen).toEqual(["postgres shop.Order: c"]);
  const { rows } = await own().sql.query<pg.QueryResultRow>(
    "SELECT FROM pg_class WHERE relpersistence = 't' OR relname LIKE 'tallyman%'",
  );
  expect(rows).toHaveLength(0);
});
