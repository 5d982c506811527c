/** Access methods: whichever the server has, and a clear refusal of others. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { actions, keeper, onTable, statuses, validity, type Keeper } from "./keeper.ts";
import { makeCache, scratch, type Scratch } from "./scratch.ts";

let own: Scratch;
let keep: Keeper;
beforeAll(async () => {
  own = await scratch();
  keep = keeper(own);
  await makeCache(own.sql);
});
afterAll(() => own.drop());

const methods: Readonly<Record<string, Partial<PostgresIndex>>> = {
  spgist: { columns: ["state"] },
  brin: { columns: ["cached_at"], with: { pages_per_range: 16 } },
  hash: { columns: ["kind"] },
};

test.each(Object.entries(methods))("an index of %s is built, found, and taken back", async (method, index) => {
  const manifest = onTable({ name: "drawn", method, ...index });
  expect(actions((await keep.ensure(manifest)).entries)).toEqual({ drawn: "created" });
  expect(await validity(own.sql)).toEqual({ drawn: true });
  const [target] = (await keep.check(manifest)).targets;
  expect(statuses(target?.indexes ?? [])).toMatchObject({ drawn: "ok" });
  expect(actions(await keep.rollback(manifest))).toEqual({ drawn: "dropped" });
});

test("a method that the server lacks is refused with the methods that it has, before any statement", async () => {
  const manifest = onTable({}, { name: "near", method: "hnsw", columns: ["state"] });
  const refusal =
    /daily_usage_cache near: this database has no access method "hnsw"\.\nIt has .*btree, .*CREATE EXTENSION/;
  await expect(keep.ensure(manifest)).rejects.toThrow(refusal);
  await expect(keep.check(manifest)).rejects.toThrow(refusal);
  expect(await validity(own.sql)).toEqual({});
});

test("a method is a name, whatever is in it", async () => {
  const manifest = onTable({ method: 'btree (date); DROP TABLE daily_usage_cache; --"' });
  await expect(keep.ensure(manifest)).rejects.toThrow("has no access method");
  expect(await validity(own.sql)).toEqual({});
});
