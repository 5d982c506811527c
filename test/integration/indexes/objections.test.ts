/** What the server would refuse is said before the first statement, by ensure, by plan and by rollback. PostgreSQL. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { planIndexes } from "../../../src/indexes/check/plan.ts";
import { indexCatalog } from "./index-catalog.ts";
import { type Keeper, ledgerRows, onTable, TABLE } from "./keeper.ts";
import type { Scratch } from "./scratch.ts";
import { onStage } from "./stage.ts";

const ROLE = `guest_${randomUUID().slice(0, 8)}`;
const wanted = onTable({ columns: ["date", "kind"] });

let own: Scratch;
let it: Keeper;
onStage((stage) => ({ own, it } = stage));
beforeAll(() => own.sql.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD 'guest'`));
afterAll(() => own.sql.query(`DROP OWNED BY ${ROLE}; DROP ROLE ${ROLE}`));

const plan = () => planIndexes({ manifest: wanted, mongo: own.mongo, databaseUrl: own.databaseUrl });

/** Everything that a refused replacement must leave alone. */
async function refused(reason: RegExp): Promise<void> {
  const before = await indexCatalog(own.sql);
  const entries = await ledgerRows(own.sql).catch(() => []);
  const report = await it.ensure(wanted, { replace: true });
  expect(report.entries).toMatchObject([{ action: "different", detail: expect.stringMatching(reason) as string }]);
  const [step] = (await plan()).steps;
  expect(step).toMatchObject({ statements: [], detail: expect.stringMatching(reason) as string });
  expect(step).not.toHaveProperty("replacement");
  expect(await indexCatalog(own.sql)).toEqual(before);
  expect(await ledgerRows(own.sql).catch(() => [])).toEqual(entries);
}

test("an index that is a part of an extension, or dropped with one, is not replaced", async () => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date)");
  await own.sql.query("ALTER INDEX by_day DEPENDS ON EXTENSION plpgsql");
  await refused(/extension plpgsql.*NO DEPENDS ON EXTENSION plpgsql/);
  await own.sql.query("ALTER INDEX by_day NO DEPENDS ON EXTENSION plpgsql");
  await own.sql.query(`INSERT INTO pg_depend
    SELECT 'pg_class'::regclass, 'by_day'::regclass, 0, 'pg_extension'::regclass, oid, 0, 'e' FROM pg_extension WHERE extname = 'plpgsql'`);
  await refused(/part of the extension plpgsql/);
  await own.sql.query("DELETE FROM pg_depend WHERE objid = 'by_day'::regclass AND deptype = 'e'");
  expect((await it.ensure(wanted, { replace: true })).entries).toMatchObject([{ action: "replaced" }]);
});

test("an index that an object needs is neither replaced nor dropped", async () => {
  await it.ensure(onTable({}));
  await own.sql.query("CREATE VIEW part AS SELECT 1 AS one");
  await own.sql.query(`INSERT INTO pg_depend
    SELECT 'pg_class'::regclass, 'part'::regclass, 0, 'pg_class'::regclass, 'by_day'::regclass, 0, 'n'`);
  await refused(/these need it: view part/);
  expect(await it.rollback(onTable({}))).toMatchObject([
    { action: "kept", detail: expect.stringMatching(/these need it: view part/) as string },
  ]);
  expect(await ledgerRows(own.sql)).toMatchObject([{ intent: "create", state: "done" }]);
  await own.sql.query("DROP VIEW part");
  await own.sql.query("DELETE FROM pg_depend WHERE refobjid = 'by_day'::regclass AND deptype = 'n'");
  expect(await it.rollback(onTable({}))).toMatchObject([{ action: "dropped" }]);
});

test("the CLUSTER mark is not given to an index that cannot have it", async () => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date)");
  await own.sql.query("ALTER TABLE daily_usage_cache CLUSTER ON by_day");
  const partial = onTable({ where: "kind = 'P'" });
  const before = await indexCatalog(own.sql);
  expect((await it.ensure(partial, { replace: true })).entries).toMatchObject([
    { action: "different", detail: expect.stringMatching(/CLUSTER mark.*SET WITHOUT CLUSTER/) as string },
  ]);
  expect(await indexCatalog(own.sql)).toEqual(before);
  await own.sql.query("ALTER TABLE daily_usage_cache SET WITHOUT CLUSTER");
  expect((await it.ensure(partial, { replace: true })).entries).toMatchObject([{ action: "replaced" }]);
});

test.each(["new", "old"])("a name that a replacement uses belongs to another relation: %s", async (ending) => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date)");
  await own.sql.query(`CREATE TABLE by_day__tallyman_${ending} (a int)`);
  try {
    await refused(new RegExp(`by_day__tallyman_${ending}; rename`));
  } finally {
    await own.sql.query(`DROP TABLE by_day__tallyman_${ending}`);
  }
});

test("a rollback whose index cannot come back to its tablespace keeps the present one", async () => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date)");
  await it.ensure(wanted, { replace: true });
  await own.sql.query(
    `UPDATE tallyman_index_ledger SET previous = json_build_object('definition', previous, 'tablespace', 'gone')`,
  );
  const before = await indexCatalog(own.sql);
  expect(await it.rollback(wanted)).toMatchObject([
    { action: "kept", detail: expect.stringMatching(/tablespace gone, which does not exist/) as string },
  ]);
  expect(await indexCatalog(own.sql)).toEqual(before);
});

test("without the right to change the table or to create in its schema, nothing is begun, and the right is named", async () => {
  const url = new URL(own.databaseUrl);
  [url.username, url.password] = [ROLE, "guest"];
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date)");
  await own.sql.query(`CREATE SCHEMA keeping AUTHORIZATION ${ROLE}; REVOKE CREATE ON SCHEMA public FROM PUBLIC`);
  await own.sql.query(
    `ALTER ROLE ${ROLE} SET search_path = keeping, public; GRANT SELECT ON daily_usage_cache TO ${ROLE}`,
  );
  const asGuest = { databaseUrl: url.href };
  const before = await indexCatalog(own.sql);
  const [owner] = (await own.sql.query<{ name: string }>("SELECT quote_ident(current_user) AS name")).rows;
  for (const manifest of [onTable({ name: "more", columns: ["kind"] }), wanted]) {
    const { entries } = await it.ensure(manifest, { ...asGuest, replace: true });
    expect(entries[0]?.detail).toContain(`only the owner of ${TABLE}`);
    expect(entries[0]?.detail).toContain(`GRANT ${owner?.name} TO ${ROLE}`);
    expect(entries[0]?.detail).toContain(`GRANT USAGE, CREATE ON SCHEMA "public" TO ${ROLE}`);
  }
  await own.sql.query(`ALTER TABLE daily_usage_cache OWNER TO ${ROLE}`);
  const { entries } = await it.ensure(wanted, { ...asGuest, replace: true });
  expect(entries[0]?.detail).toMatch(/GRANT USAGE, CREATE ON SCHEMA/);
  expect(entries[0]?.detail).not.toMatch(/only the owner/);
  expect(await indexCatalog(own.sql)).toEqual(before);
  await own.sql.query(`GRANT CREATE ON SCHEMA public TO ${ROLE}`);
  expect((await it.ensure(wanted, { ...asGuest, replace: true })).entries).toMatchObject([{ action: "replaced" }]);
});

test("a partition's index that is attached to an index of the whole table is left alone, with where to declare it", async () => {
  await own.sql.query(`
    DROP TABLE IF EXISTS events;
    CREATE TABLE events (day date, kind text) PARTITION BY RANGE (day);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE INDEX by_kind ON events (kind)`);
  const onLeaf = {
    ...wanted,
    postgres: { "public.events_1": [{ name: "events_1_kind_idx", why: "test", columns: ["kind", "day"] }] },
  };
  const before = await indexCatalog(own.sql);
  expect((await it.ensure(onLeaf, { replace: true })).entries).toMatchObject([
    {
      action: "different",
      detail: expect.stringMatching(
        /attached to by_kind, an index of the partitioned table public\.events,.*declare it there, under postgres: public\.events/,
      ) as string,
    },
  ]);
  expect(await indexCatalog(own.sql)).toEqual(before);
  await own.sql.query("DROP TABLE events");
});

test("a table of the server's catalog is refused before anything is begun", async () => {
  const catalog = {
    ...wanted,
    postgres: { "pg_catalog.pg_description": [{ name: "mine", why: "test", columns: ["objoid"] }] },
  };
  expect((await it.ensure(catalog)).entries).toMatchObject([
    { action: "failed", detail: expect.stringMatching(/server's catalog/) as string },
  ]);
  expect(await ledgerRows(own.sql).catch(() => [])).toEqual([]);
});
