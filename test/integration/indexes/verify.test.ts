/** Contracts on a real PostgreSQL: whether they are kept, with many rows, few rows and none. */
import { describe, expect, test } from "vitest";
import type { Contract } from "../../../src/indexes/manifest/manifest.ts";
import { HANG_MS } from "./timeless.ts";
import { AT, CUSTOMER, manifestOf, orders } from "./verify-orders.ts";

const MANY = 30_000;
const FROM = { sample: "createdAt", shift: "-15d" } as const;
const TO = { sample: "createdAt", shift: "+15d" } as const;
const { own, fill, verify, verdictOf } = orders(MANY);

describe("with many rows", () => {
  test("a query uses its index, examines what it returns, and takes its time", async () => {
    const entry = await verdictOf("by_customer", {
      maxExaminedPerReturned: 1.1,
      maxMs: HANG_MS,
      sql: `SELECT * FROM "Order" WHERE customer = $1 AND "createdAt" BETWEEN $2 AND $3`,
      params: [CUSTOMER, FROM, TO],
    });
    expect(entry).toMatchObject({ verdict: "uses", ok: true, used: ["by_customer"], why: [], advice: [] });
    expect(entry.returned).toBeGreaterThan(50);
    expect(entry.examined).toBe(entry.returned);
    expect(entry.ms).toBeGreaterThan(0);
  });

  test("rows that are examined and discarded break the contract", async () => {
    const entry = await verdictOf("by_customer", {
      maxExaminedPerReturned: 1.1,
      sql: `SELECT count(*) FROM shop."Order" WHERE customer = $1 AND amount < 0`,
      params: [CUSTOMER],
    });
    expect(entry).toMatchObject({ verdict: "uses", ok: false, examined: 100, returned: 0 });
    expect(entry.why).toEqual(["examines 100 to return 0; the contract promises at most 1.1 for each"]);
  });

  test("an order that the index does not have is sorted", async () => {
    const by = (order: string) => ({
      noSort: true as const,
      sql: `SELECT * FROM "Order" WHERE customer = $1 ORDER BY ${order} LIMIT 3`,
      params: [CUSTOMER],
    });
    expect(await verdictOf("by_customer", by(`"createdAt" DESC`))).toMatchObject({ verdict: "uses", ok: true });
    const other = await verdictOf("by_customer", by("amount"));
    expect(other).toMatchObject({ verdict: "uses", ok: false });
    expect(other.why[0]).toMatch(/^the order is not served: sorts by .*amount$/);
  });

  test("a query answered from the index alone is covered", async () => {
    const of = (columns: string) => ({
      covered: true as const,
      sql: `SELECT ${columns} FROM "Order" WHERE customer = $1`,
      params: [CUSTOMER],
    });
    expect(await verdictOf("by_customer", of('"createdAt"'))).toMatchObject({ verdict: "uses", ok: true, why: [] });
    expect(await verdictOf("by_customer", of("amount"))).toMatchObject({
      ok: false,
      why: ["not answered from the index alone"],
    });
  });

  test("an expression can be sampled, and rows with a null are skipped", async () => {
    const key = "(SELECT min(k) FROM jsonb_object_keys(doc) AS k)";
    const has = await verdictOf("by_doc", { sql: `SELECT id FROM "Order" WHERE doc ? $1`, params: [{ sample: key }] });
    expect(has).toMatchObject({ verdict: "uses", ok: true, returned: MANY / 50 });
    await own().sql.query(`UPDATE shop."Order" SET note = 'n' WHERE id = 7`);
    const noted = await verdictOf("Order_pkey", {
      sql: `SELECT * FROM "Order" WHERE id = $1 AND note = $2`,
      params: [{ sample: "id" }, { sample: "note" }],
    });
    expect(noted).toMatchObject({ verdict: "uses", returned: 1 });
  });

  test("a query for a large share of the table reads it whole, which only mode could allows", async () => {
    const contract = { sql: `SELECT * FROM "Order" WHERE customer >= $1`, params: ["a"] };
    const strict = await verdictOf("by_customer", contract);
    expect(strict).toMatchObject({ verdict: "could use", ok: false });
    expect(strict.why[0]).toMatch(/^reads everything \(Seq Scan\), although there is much data/);
    expect(await verdictOf("by_customer", { ...contract, mode: "could" })).toMatchObject({
      verdict: "could use",
      ok: true,
    });
  });

  test("a better index that the plan prefers must be in orUses", async () => {
    const contract = { sql: `SELECT * FROM "Order" WHERE id = $1 AND customer > ''`, params: [{ sample: "id" }] };
    const other = await verdictOf("by_customer", contract);
    expect(other).toMatchObject({
      verdict: "could use",
      ok: false,
      why: [expect.stringMatching(/^uses Order_pkey instead/)],
    });
    expect(await verdictOf("by_customer", { ...contract, orUses: ["Order_pkey"] })).toMatchObject({
      verdict: "uses",
      ok: true,
    });
  });

  test("mode cannot passes with its reason, and advises when an index could be used", async () => {
    const because = "status is missing";
    const sql = `SELECT * FROM "Order" WHERE "createdAt" <= $1`;
    const contract: Partial<Contract> = { mode: "cannot", because, sql, params: [AT] };
    expect(await verdictOf("open_ones", contract)).toMatchObject({ verdict: "cannot use", ok: true, why: [because] });
    const after = await verdictOf("open_ones", { ...contract, sql: `${sql} AND status = 'open' AND amount > 0` });
    expect(after).toMatchObject({ verdict: "uses", ok: true, advice: ["it uses open_ones after all"] });
    const [query] = (
      await verify(
        manifestOf({}, [{ name: "q", mode: "cannot", because, sql: `SELECT * FROM "Order" WHERE amount = 1` }]),
      )
    ).entries;
    expect(query).toMatchObject({ index: null, verdict: "cannot use", ok: true });
  });

  test("a query over its promised time or over the limit breaks the contract", async () => {
    const slow = await verdictOf("by_customer", {
      maxMs: 0.001,
      sql: `SELECT * FROM "Order" WHERE customer = $1`,
      params: [CUSTOMER],
    });
    expect(slow).toMatchObject({
      verdict: "uses",
      ok: false,
      why: [expect.stringMatching(/^takes .* ms; the contract promises 0.001 ms$/)],
    });
    const manifest = manifestOf({
      by_customer: { sql: `SELECT pg_sleep(3600) FROM "Order" WHERE customer = $1`, params: [CUSTOMER] },
    });
    // Long enough for every other statement of the look, each of which takes a millisecond.
    const [endless] = (await verify(manifest, { limitMs: 5_000 })).entries;
    expect(endless).toMatchObject({ verdict: "uses", ok: false, ms: null, why: ["did not end within 5000 ms"] });
  });
});

describe("with few rows or none", () => {
  const contracts: Record<string, Partial<Contract>> = {
    by_customer: {
      noSort: true,
      sql: `SELECT * FROM "Order" WHERE customer = $1 AND "createdAt" BETWEEN $2 AND $3 ORDER BY "createdAt" DESC`,
      params: [CUSTOMER, FROM, TO],
    },
    open_ones: {
      sql: `SELECT * FROM "Order" WHERE status = 'open' AND amount > 0 AND "createdAt" <= $1`,
      params: [AT],
    },
    by_doc: { sql: `SELECT * FROM "Order" WHERE doc @> $1`, params: [{ sample: "doc" }] },
    Order_pkey: { sql: `SELECT * FROM "Order" WHERE id = $1`, params: [{ sample: "id" }] },
  };

  test.each([60, 0])("%d rows: every index could be used, which is as promised", async (rows) => {
    await fill(rows);
    const { entries, ok } = await verify(manifestOf(contracts));
    expect(entries.map(({ index, verdict, why }) => [index, verdict, why])).toEqual(
      Object.keys(contracts).map((name) => [name, "could use", []]),
    );
    expect(ok).toBe(true);
  });

  test("a scan of a partial index is bounded without a condition on its columns, one of a whole index is not", async () => {
    await fill(60);
    const partial = await verdictOf("open_ones", { sql: `SELECT * FROM "Order" WHERE status = 'open' AND amount > 0` });
    expect(partial).toMatchObject({ verdict: "could use", ok: true, examined: 3, returned: 3 });
    const whole = await verdictOf("by_customer", { sql: `SELECT * FROM "Order" WHERE status = 'open'` });
    expect(whole).toMatchObject({ verdict: "cannot use", ok: false });
  });

  test("a reason that does not depend on the number of rows is found on an empty table too", async () => {
    await fill(0);
    const fixed = await verdictOf("open_ones", { sql: `SELECT * FROM "Order" WHERE "createdAt" <= now()` });
    expect(fixed).toMatchObject({
      verdict: "cannot use",
      ok: false,
      why: [expect.stringMatching(/add status = 'open'/)],
    });
    const sampled = await verdictOf("open_ones", {
      sql: `SELECT * FROM "Order" WHERE "createdAt" <= $1`,
      params: [AT],
    });
    expect(sampled).toMatchObject({ verdict: "no data", ok: true });
    expect(sampled.why[1]).toMatch(/add status = 'open'/);
  });
});
