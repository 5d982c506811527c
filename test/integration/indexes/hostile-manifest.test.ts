/** Whatever a manifest's text says, no verb runs a second statement, and none that looks changes anything. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { observe } from "../../../src/indexes/engines/postgres/catalog.ts";
import { IndexSession } from "../../../src/indexes/engines/postgres/session.ts";
import { UnreachableError, UsageError } from "../../../src/errors.ts";
import { planIndexes } from "../../../src/indexes/index.ts";
import type { Contract, Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { verifyIndexes } from "../../../src/indexes/verify/verify.ts";
import { EVENTS, type Keeper, keeper, onTable, TABLE } from "./keeper.ts";
import { FORGET, makeCache, type Scratch, scratch } from "./scratch.ts";
import { HANG_MS } from "./timeless.ts";

let own: Scratch;
let it: Keeper;
beforeAll(async () => {
  own = await scratch();
  it = keeper(own);
});
afterAll(() => own.drop());
beforeEach(async () => {
  await own.mongo.dropDatabase();
  await own.sql.query(`DROP TABLE IF EXISTS victim; DROP SEQUENCE IF EXISTS touched; ${FORGET}`);
  await makeCache(own.sql);
  // A sequence does not roll back, so it tells of what was undone too.
  await own.sql.query(`
    CREATE TABLE victim (a int);
    INSERT INTO victim VALUES (1);
    CREATE SEQUENCE touched;
    CREATE OR REPLACE FUNCTION touch(x anyelement) RETURNS anyelement LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN PERFORM nextval('touched'); DELETE FROM victim; RETURN x; END $$;
    CREATE OR REPLACE FUNCTION stable_touch(x anyelement) RETURNS anyelement LANGUAGE plpgsql STABLE AS
    $$ BEGIN PERFORM nextval('touched'); RETURN x; END $$;
    CREATE OR REPLACE FUNCTION sly_touch(x anyelement) RETURNS anyelement LANGUAGE plpgsql STABLE AS
    $$ BEGIN
      IF current_setting('transaction_read_only') = 'off' THEN PERFORM nextval('touched'); END IF;
      RETURN x;
    END $$`);
});

async function untouched(): Promise<void> {
  const { rows } = await own.sql.query<{ n: number; called: boolean }>(
    "SELECT (SELECT count(*)::int FROM victim) AS n, (SELECT is_called FROM touched) AS called",
  );
  expect(rows).toEqual([{ n: 1, called: false }]);
}

const DROP = "DROP TABLE victim";
/** Texts in place of a predicate or an expression. */
const TEXTS = [
  `kind = 'x'; commit; ${DROP}`,
  `kind = 'x'); ${DROP}; --`,
  `kind = 'x' --`,
  `kind = 'x' /*`,
  `kind = 'x') OR (true`,
  `kind = 'x'; COMMIT; BEGIN; ${DROP}; COMMIT`,
  String.raw`kind = '\'; ${DROP}; --'`,
  String.raw`kind = E'\\'; ${DROP}; --'`,
  String.raw`kind = '\' OR kind = '; ${DROP}; --'`,
  String.raw`kind = '\' OR kind = ') OR (true); ${DROP}; --'`,
  `kind = $a$x$a$; ${DROP}`,
  `kind = U&'\\0027'; ${DROP}`,
  `EXISTS (SELECT FROM victim)`,
  `(WITH gone AS (DELETE FROM victim RETURNING a) SELECT count(*) FROM gone) > 0`,
  `touch(kind) = 'x'`,
  `stable_touch(kind) = 'x'`,
  `nextval('touched') > 0`,
  `pg_terminate_backend(pg_backend_pid())`,
  `pg_sleep(1000000) IS NULL`,
  `set_config('transaction_read_only', 'off', false) = 'off'`,
  `kind = $1`,
];

/** Those that are one expression, under the names of the fields that take one. */
const FIELDS: Readonly<Record<string, (text: string) => Partial<PostgresIndex>>> = {
  where: (text) => ({ where: text }),
  expr: (text) => ({ columns: [{ expr: text }] }),
  "expr and where": (text) => ({ columns: [{ expr: `a /* ${text}` }], where: `${text} */` }),
  opclass: (text) => ({ columns: [{ col: "kind", opclass: text }] }),
  collate: (text) => ({ columns: [{ col: "kind", collate: text.slice(0, 60) }] }),
  column: (text) => ({ columns: [text.slice(0, 60)] }),
  include: (text) => ({ include: [text.slice(0, 60)] }),
  "a parameter's name": (text) => ({ with: { [text]: 1 } }),
  "a parameter's value": (text) => ({ with: { fillfactor: text } }),
  name: (text) => ({ name: text.slice(0, 40), where: "kind = 'x'" }),
  "a rolling column": (text) => ({ name: "r", rolling: { column: text.slice(0, 60), keep: "1 day", rotate: "daily" } }),
};

describe.each(Object.keys(FIELDS))("a hostile text as %s", (field) => {
  test("changes nothing but the declared index, under any verb", async () => {
    for (const text of TEXTS) {
      const manifest = onTable(FIELDS[field]?.(text) ?? {});
      // A session that says that a backslash escapes is told otherwise.
      await own.sql.query("ALTER ROLE CURRENT_USER SET standard_conforming_strings = off");
      try {
        for (const verb of [
          () => it.check(manifest),
          () => planIndexes({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl }),
          () => it.ensure(manifest, { replace: true }),
          () => it.ensure({ ...manifest, project: "again" }, { replace: true }),
          () => it.rollback(manifest, { all: true }),
        ]) {
          await verb().catch((error: unknown) => {
            if (!(error instanceof UsageError)) throw error;
          });
          await untouched();
        }
      } finally {
        await own.sql.query("ALTER ROLE CURRENT_USER RESET standard_conforming_strings");
      }
    }
  });
});

test("the server itself refuses a second statement, whatever the reading of the manifest lets through", async () => {
  const common = { signal: new AbortController().signal, maxBuildMs: HANG_MS, maxWaitMs: HANG_MS };
  const session = new IndexSession({
    ...common,
    ...{ databaseUrl: own.databaseUrl, lockWaitMs: 0, onProgress: () => undefined },
  });
  await session.connect();
  try {
    const index = { name: "i", why: "test", columns: ["kind"], where: `true); COMMIT; ${DROP}; --` };
    const { declared } = await observe(session, TABLE, [index]);
    expect(declared.get("i")).toMatchObject({ code: "42601" });
    await expect(session.query(`SELECT 1; ${DROP}`)).rejects.toThrow(/multiple commands/);
  } finally {
    await session.close();
  }
  await untouched();
});

test("a predicate that only looks like the clock is built; one that follows it is refused in the server's words", async () => {
  await own.sql.query(`ALTER TABLE daily_usage_cache ADD "current_date" date, ADD "random" text`);
  const built = onTable(
    { name: "word", where: "kind = 'random' OR state = 'now()'" },
    { name: "column", columns: ["current_date"], where: `"current_date" > '2026-01-01' AND random = 'x'` },
    { name: "commented", where: "kind = 'y' -- not now()" },
  );
  const report = await it.ensure(built);
  expect(report.entries.map(({ action }) => action)).toEqual(["created", "created", "created"]);
  expect((await it.check(built)).ok).toBe(true);
  const moving = ["date > current_date - 30", "random() > 0.5", "cached_at > now()", "cached_at::date > '2026-01-01'"];
  const refused = await it.check(onTable(...moving.map((where, n) => ({ name: `m${n}`, where }))));
  for (const { status, detail } of refused.targets[0]?.indexes.filter(({ isDeclared }) => isDeclared) ?? []) {
    expect(status).toBe("unusable");
    expect(detail).toMatch(/IMMUTABLE: .* declare a window of time as rolling$/);
  }
});

describe("a contract", () => {
  const verify = async (contract: Partial<Contract>, key: "mongo" | "postgres") => {
    const manifest: Manifest = {
      ...{ version: 1, project: "test", mongo: {}, postgres: {} },
      queries: { [key === "mongo" ? EVENTS : TABLE]: [{ name: "q", ...contract }] },
    };
    const targets = { manifest, mongo: own.mongo, databaseUrl: own.databaseUrl };
    return verifyIndexes({ ...targets, limitMs: 2_000 }).catch((error: unknown) => {
      if (!(error instanceof UsageError)) throw error;
      return error.message;
    });
  };

  test.each([
    `SELECT 1; ${DROP}`,
    `SELECT touch(1)`,
    `SELECT stable_touch(1) FROM daily_usage_cache WHERE kind = stable_touch('x'::text)`,
    `SELECT nextval('touched')`,
    `SELECT setval('touched', 5)`,
    `WITH gone AS (DELETE FROM victim RETURNING a) SELECT * FROM gone`,
    `WITH gone AS (TABLE victim) SELECT * INTO other FROM gone`,
    `SELECT set_config('transaction_read_only', 'off', true), touch(1)`,
    `SELECT * FROM (SELECT set_config('transaction_read_only', 'off', true)) s, LATERAL (SELECT touch(1)) t`,
    `SELECT * FROM victim FOR /* x */ UPDATE`,
    `SELECT lo_create(4711)`,
    `SELECT pg_notify('a', 'b'), touch(2)`,
    `SELECT 1 FROM daily_usage_cache WHERE date = (SELECT touch(date '2026-01-01'))`,
  ])("that would write is refused, and nothing is written: %s", async (sql) => {
    const report = await verify({ sql }, "postgres");
    expect(typeof report === "string" || !report.ok, JSON.stringify(report)).toBe(true);
    await untouched();
  });

  test("whose sample is hostile changes nothing", async () => {
    for (const text of TEXTS) {
      await verify({ sql: "SELECT $1::text", params: [{ sample: text }] }, "postgres").catch((error: unknown) => {
        // A role may end its own session.
        if (!(error instanceof UnreachableError)) throw error;
      });
      await untouched();
    }
  });

  test("with the index alone, on the clone, is read only too", async () => {
    await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date) WHERE kind = 'Q'");
    const sql = "SELECT * FROM daily_usage_cache WHERE state = sly_touch('x'::text)";
    const manifest = onTable({ where: "kind = 'Q'", contracts: [{ name: "q", sql }] });
    const { entries } = await verifyIndexes({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl });
    expect(entries[0]?.why.join()).toContain("add (kind)::text = 'Q'"); // which only the clone shows
    await untouched();
  });

  test.each<Partial<Contract>>([
    { aggregate: [{ $out: "other" }] },
    { aggregate: [{ $match: {} }, { $merge: { into: EVENTS, whenMatched: [{ $set: { a: 9 } }] } }] },
    { aggregate: [{ $unionWith: { coll: EVENTS, pipeline: [{ $out: "other" }] } }] },
    { count: { $where: "while (true) {}" } },
  ])("of MongoDB that would write or run code is refused: %j", async (contract) => {
    await own.mongo.collection(EVENTS).insertOne({ a: 1 });
    expect(await verify({ ...contract, maxMs: HANG_MS }, "mongo")).toMatch(/cannot be in a contract/);
    expect((await own.mongo.listCollections().toArray()).map(({ name }) => name)).toEqual([EVENTS]);
    expect(await own.mongo.collection(EVENTS).findOne({}, { projection: { _id: 0 } })).toEqual({ a: 1 });
  });
});
