/** A database with a table of orders and indexes of several kinds, and the verdict on contracts about them. */
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import type { Contract, Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import {
  verifyIndexes,
  type VerifyEntry,
  type VerifyOptions,
  type VerifyReport,
} from "../../../src/indexes/verify/verify.ts";
import { scratch, type Scratch } from "./scratch.ts";
import { HANG_MS } from "./timeless.ts";

export const CUSTOMER = { sample: "customer" } as const;
export const AT = { sample: "createdAt" } as const;

export interface Orders {
  readonly own: () => Scratch;
  /** Makes the table again, with so many rows. */
  readonly fill: (rows: number) => Promise<void>;
  readonly verify: (manifest: Manifest, options?: Partial<VerifyOptions>) => Promise<VerifyReport>;
  /** The entry of one contract of one index. */
  readonly verdictOf: (index: string, contract: Partial<Contract>) => Promise<VerifyEntry>;
}

/** For all tests of the file; before each, the table has `rows` rows of 300 customers, one in twenty of them open. */
export function orders(rows: number): Orders {
  let own: Scratch;
  const fill = (count: number) => makeOrders(own, count);
  beforeAll(async () => {
    own = await scratch();
  });
  afterAll(() => own.drop());
  beforeEach(() => fill(rows));
  const verify: Orders["verify"] = (manifest, options = {}) =>
    verifyIndexes({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl, limitMs: HANG_MS, ...options });
  return {
    own: () => own,
    fill,
    verify,
    async verdictOf(index, contract) {
      const { entries, ok } = await verify(manifestOf({ [index]: contract }));
      expect(entries).toHaveLength(1);
      expect(ok).toBe(entries[0]?.ok);
      return entries[0] as VerifyEntry;
    },
  };
}

/** Its statistics and its visibility map are fresh, and stay as they are. */
async function makeOrders({ sql }: Scratch, rows: number): Promise<void> {
  await sql.query("DROP SCHEMA IF EXISTS shop CASCADE");
  await sql.query("CREATE SCHEMA shop");
  await sql.query(`
    CREATE TABLE shop."Order" (id bigint PRIMARY KEY, customer text COLLATE "C", status text, note text, amount numeric,
      "createdAt" timestamptz, doc jsonb) WITH (autovacuum_enabled = off)`);
  await sql.query(
    `INSERT INTO shop."Order"
     SELECT i, 'c' || i % 300, CASE WHEN i % 20 = 0 THEN 'open' ELSE 'done' END, NULL, i, now() - i * interval '1 minute',
            jsonb_build_object('u' || i % 50, 1) FROM generate_series(1, $1::int) i`,
    [rows],
  );
  await sql.query(`CREATE INDEX by_customer ON shop."Order" (customer, "createdAt" DESC)`);
  await sql.query(`CREATE INDEX open_ones ON shop."Order" ("createdAt") WHERE status = 'open' AND amount > 0`);
  await sql.query(`CREATE INDEX by_doc ON shop."Order" USING gin (doc)`);
  await sql.query(`VACUUM ANALYZE shop."Order"`);
}

const INDEXES: readonly Omit<PostgresIndex, "why">[] = [
  { name: "by_customer", columns: ["customer", { col: "createdAt", desc: true }] },
  { name: "open_ones", columns: ["createdAt"], where: "status = 'open' AND amount > 0" },
  { name: "by_doc", method: "gin", columns: ["doc"] },
  { name: "Order_pkey", constraint: "primary", columns: ["id"] },
];

/** A manifest of these indexes, each with its contract. */
export function manifestOf(
  contracts: Readonly<Record<string, Partial<Contract>>>,
  queries: readonly Contract[] = [],
): Manifest {
  const indexes = INDEXES.filter(({ name }) => Object.hasOwn(contracts, name)).map((index) => ({
    ...index,
    why: "test",
    contracts: [{ name: "c", ...contracts[index.name] }],
  }));
  return { version: 1, project: "test", postgres: { "shop.Order": indexes }, queries: { "shop.Order": queries } };
}
