/** Reasons that an index of MongoDB is not used, by a server that answers as told. */
import { expect, test } from "vitest";
import type { Contract } from "../../../../src/indexes/manifest/manifest.ts";
import type { Query } from "../../../../src/indexes/engines/mongo/verify/sample.ts";
import { mongoReasons } from "../../../../src/indexes/engines/mongo/verify/why.ts";

type Filter = Record<string, unknown>;

const reasons = (
  spec: Filter,
  filter: Filter,
  more: { contract?: Partial<Contract>; needs?: readonly string[] } = {},
) =>
  mongoReasons({
    spec: { name: "i", key: { email: 1, at: -1 }, ...spec },
    contract: { name: "c", ...more.contract },
    query: { find: { filter } },
    collectionCollation: undefined,
    // Served as soon as every needed field is spoken of.
    isServed: (query: Query) =>
      Promise.resolve((more.needs ?? []).every((field) => JSON.stringify(query).includes(field))),
  });

test("a hidden index is not used because it is hidden", async () => {
  expect(await reasons({ hidden: true }, { email: "a" })).toEqual(["the index is hidden"]);
});

test("a collation that differs between index and query is the reason, in either direction", async () => {
  const collation = { locale: "en", strength: 2 };
  const [missing] = await reasons({ collation }, { email: "a" });
  expect(missing).toMatch(/^the collation differs: the index has .*"en".*, the query none/);
  const [other] = await reasons({}, { email: "a" }, { contract: { collation } });
  expect(other).toMatch(/^the collation differs: the index has none, the query .*"en"/);
  // As the server writes the same one out.
  const written = { ...collation, caseLevel: false, normalization: false, version: "57.1" };
  expect(await reasons({ collation: written }, { email: "a" }, { contract: { collation } })).toEqual([]);
});

test("the fewest missing terms of the partial filter are named", async () => {
  const partialFilterExpression = { email: { $type: "string" }, $and: [{ state: "open" }, { n: { $gt: 0 } }] };
  const said = async (needs: readonly string[]) =>
    (await reasons({ partialFilterExpression }, { email: "a" }, { needs }))[0];
  expect(await said(["$type"])).toBe('the query does not imply the index\'s filter: add {"email":{"$type":"string"}}');
  expect(await said(["state", '"n"'])).toMatch(/: add \{"state":"open"\}, \{"n":\{"\$gt":0\}\}$/);
  // If the whole filter does not help either, the fault is not in the filter.
  expect(await said(["something else"])).toBeUndefined();
});

test("a sparse index cannot serve documents that it lacks", async () => {
  expect(await reasons({ sparse: true }, { other: 1 })).toEqual([
    "the index is sparse: it lacks the documents without email, which the query does not exclude",
  ]);
});

test("a first key that not every branch compares is the reason", async () => {
  const wanted = ["the query compares nothing with the index's first key, email"];
  expect(await reasons({}, { at: 1 })).toEqual(wanted);
  expect(await reasons({}, { $or: [{ email: "a" }, { at: 1 }] })).toEqual(wanted);
  expect(await reasons({}, { $or: [{ email: "a" }, { email: "b" }] })).toEqual([]);
  expect(await reasons({}, { $and: [{ at: 1 }, { email: "a" }] })).toEqual([]);
});
