/** Whatever a manifest may declare: what was built is found as built, discovered, not built twice, and taken back. */
import { afterAll, beforeAll, expect, test } from "vitest";
import fc from "fast-check";
import { discoverIndexes } from "../../../src/indexes/discover/discover.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { DRAWN_TABLE, ferretIndex, postgresIndex } from "../../support/index-definitions.ts";
import { holds } from "../../support/property.ts";
import { actions, keeper, statuses, type Keeper } from "./keeper.ts";
import { scratch, type Scratch } from "./scratch.ts";

let own: Scratch;
let keep: Keeper;
let hasBloom = false;
beforeAll(async () => {
  own = await scratch();
  keep = keeper(own);
  await own.sql.query(DRAWN_TABLE);
  await own.mongo.createCollection("drawn_collection");
  const { rowCount } = await own.sql.query("SELECT FROM pg_available_extensions WHERE name = 'bloom'");
  hasBloom = rowCount === 1;
  if (hasBloom) await own.sql.query("CREATE EXTENSION bloom");
});
afterAll(() => own.drop());

/** @param catalog the indexes with what changes when one is made again or altered */
async function foundAsBuilt(manifest: Manifest, catalog: () => Promise<unknown>): Promise<void> {
  const before = await catalog();
  const allow = { allowBlocking: true };
  const first = await keep.ensure(manifest, allow);
  expect(first.entries.map(({ action, detail }) => [action, detail])).toEqual([["created", undefined]]);
  const built = await catalog();
  expect(built).not.toEqual(before);
  const [target] = (await keep.check(manifest)).targets;
  expect(statuses((target?.indexes ?? []).filter(({ isDeclared }) => isDeclared))).toEqual({ drawn: "ok" });
  const found = await discoverIndexes({ ...own, ...(manifest.mongo ? { engine: "mongodb" } : { engine: "postgres" }) });
  expect(found.targets.flatMap(({ leftOut }) => leftOut)).toEqual([]);
  expect(found.yaml).toContain("- name: drawn\n");
  const again = await keep.ensure(manifest, { ...allow, replace: true });
  expect(actions(again.entries)).toEqual({ drawn: "present" });
  expect(await catalog()).toEqual(built);
  expect(actions(await keep.rollback(manifest, { runId: first.runId }))).toEqual({ drawn: "dropped" });
  expect(await catalog()).toEqual(before);
}

/** Says how many definitions were tried: a filter that leaves none would make the property hold for nothing. */
function report(engine: string, drawn: ReadonlySet<string>): void {
  process.stderr.write(`found as built: ${drawn.size} definitions of ${engine}\n`);
  expect(drawn.size).toBeGreaterThan(1);
}

test("every index of PostgreSQL is found as built, not built twice, and taken back", async () => {
  const drawn = new Set<string>();
  const catalog = async () => {
    const { rows } = await own.sql.query<object>(
      `SELECT i.oid, i.xmin::text, pg_get_indexdef(i.oid) AS definition
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = 'drawn_table'::regclass ORDER BY 1`,
    );
    return rows;
  };
  await holds(
    fc.asyncProperty(postgresIndex(hasBloom), async (index) => {
      drawn.add(JSON.stringify(index));
      const manifest: Manifest = { version: 1, project: "test", postgres: { "public.drawn_table": [index] } };
      await foundAsBuilt(manifest, catalog);
    }),
    40,
  );
  report("PostgreSQL", drawn);
});

test("every index that FerretDB builds is found as built, not built twice, and taken back", async () => {
  const drawn = new Set<string>();
  const catalog = async () => {
    const indexes = await own.mongo.collection("drawn_collection").listIndexes().toArray();
    return indexes.map((one) => JSON.stringify(one)).sort();
  };
  await holds(
    fc.asyncProperty(ferretIndex, async (index) => {
      drawn.add(JSON.stringify(index));
      const manifest: Manifest = { version: 1, project: "test", mongo: { drawn_collection: [index] } };
      await foundAsBuilt(manifest, catalog);
    }),
    40,
  );
  report("FerretDB", drawn);
});
