/** What differs between versions of mongod, and kinds of collections that FerretDB does not have. */
import { MongoServerError } from "mongodb";
import { expect, test } from "vitest";
import { differencesOf } from "../../../src/indexes/decision/normal-form.ts";
import { stateOf } from "../../../src/indexes/decision/state.ts";
import { mongoForm } from "../../../src/indexes/engines/mongo/normal-form.ts";
import { serverOf } from "../../../src/indexes/engines/mongo/server.ts";
import { ensureIt, ensuring } from "./ensuring.ts";
import { engineOn, mongod } from "./mongod.ts";

const BY_ID = { v: 2, key: { _id: 1 }, name: "_id_" };
const ONE = { name: "one", keys: [["a", 1]] as const };
const OLD = [4, 4, 29, 0];

test("up to 4.4 keys and collation alone make two indexes different", () => {
  expect(serverOf({ version: "4.4.29", versionArray: OLD }).identity).toEqual(["keys", "collation"]);
  for (const versionArray of [
    [5, 0, 0, 0],
    [8, 2, 1, 0],
  ]) {
    expect(serverOf({ version: "x", versionArray }).identity).toContain("partial");
  }
  expect(serverOf({ version: "4.4.29" }).identity).toEqual(["keys", "collation"]);
});

test("4.4 is not asked to replace an index by one of other options: ensure says what to do before any statement", async () => {
  const indexes = () => [BY_ID, { v: 2, key: { a: 1 }, name: "one" }];
  const { db, sent } = mongod({ version: OLD, indexes });
  const { outcome, ledger } = await ensureIt(await ensuring(db, { ...ONE, unique: true }, { mayReplace: true }));
  expect(outcome.action).toBe("different");
  expect(outcome.detail).toMatch(
    /MongoDB 4\.4\.29 cannot hold two indexes with the same keys and collation; MongoDB 5\.0 and later can\. When nothing reads through one, drop it by hand and run ensure again\.$/,
  );
  expect([sent, ledger.entries]).toEqual([[], []]);
});

test("4.4 replaces an index by one of other keys, and 5.0 one of other options, beside the old one", async () => {
  const listed = () => [BY_ID, { v: 2, key: { a: 1 }, name: "one" }];
  for (const [version, wanted] of [
    [OLD, { ...ONE, keys: [["a", 1], ["b", 1]] as const }], // prettier-ignore
    [[5, 0, 31, 0], { ...ONE, unique: true as const }],
  ] as const) {
    const { db } = mongod({ version, indexes: listed });
    const engine = await engineOn(db, wanted);
    const state = stateOf(await engine.observe("events"), "one");
    if (state.state !== "different" || !state.found) throw new Error(state.state);
    expect(engine.replacement.obstacle("events", "one", state.found)).toBeUndefined();
  }
});

test("on 4.4 the second of two declared indexes with the same keys is different, and the manifest is to blame", async () => {
  const whole = { v: 2, key: { a: 1 }, name: "whole" };
  const { db, sent } = mongod({ version: OLD, indexes: () => [BY_ID, whole] });
  const recent = { name: "recent", keys: [["a", 1]] as const, partial: { a: { $gt: 1 } } };
  const declared = [recent, { ...ONE, name: "whole" }] as const;
  const kept = await ensureIt(await ensuring(db, declared));
  expect(kept.outcome).toMatchObject({ action: "different" });
  expect(kept.outcome.detail).toMatch(/^as whole: partial: .* MongoDB 4\.4\.29 cannot hold two indexes/);
  const replaced = await ensureIt(await ensuring(db, declared, { mayReplace: true }));
  expect(replaced.outcome.detail).toMatch(/whole is declared too: leave one of them out of the manifest\.$/);
  expect(sent).toEqual([]);
});

test("a conflict that no look explains ends after a few tries, with what to do", async () => {
  const conflict = () =>
    Promise.reject(new MongoServerError({ message: "Index already exists with different options", code: 85 }));
  const { db, named } = mongod({ commands: { createIndexes: conflict }, indexes: () => [BY_ID] });
  const { outcome, ledger } = await ensureIt(await ensuring(db, ONE));
  expect(outcome.action).toBe("failed");
  expect(outcome.detail).toMatch(
    /^the server does not build one beside an index that it takes for the same: Index already exists with different options\. Compare it with db\.getCollection\("events"\)\.getIndexes\(\): drop the index in its way/,
  );
  expect(named("createIndexes").length).toBeGreaterThan(1);
  expect(ledger.entries).toMatchObject([{ state: "failed" }]);
});

test("an index that only prepares to be unique is not the declared unique one, and not an ordinary one either", async () => {
  const prepared = { v: 2, key: { a: 1 }, name: "one", prepareUnique: true };
  const parts = (wanted: object) =>
    differencesOf(mongoForm({ key: { a: 1 }, ...wanted }), mongoForm(prepared)).map(({ part }) => part);
  expect(parts({ unique: true })).toEqual(["prepareUnique", "unique"]);
  expect(parts({})).toEqual(["prepareUnique"]);
  const { db } = mongod({ indexes: () => [BY_ID, prepared] });
  const view = await (await engineOn(db, { ...ONE, unique: true })).observe("events");
  expect(stateOf(view, "one")).toMatchObject({
    state: "different",
    detail: 'prepareUnique: declared "", found "true"; unique: declared "true", found ""',
  });
  // It refuses duplicates already, so it is never called redundant.
  expect(view.actual.find(({ name }) => name === "one")?.guards).toBe("unique");
});

test("prepareUnique is taken away in place, and only a server that set it is told of it", async () => {
  for (const isPrepared of [true, false]) {
    const listed = { v: 2, key: { a: 1 }, name: "one", ...(isPrepared ? { prepareUnique: true } : { hidden: true }) };
    const { db, sent } = mongod({ indexes: () => [BY_ID, listed] });
    const engine = await engineOn(db, ONE);
    const state = stateOf(await engine.observe("events"), "one");
    if (state.state !== "different" || !state.found) throw new Error(state.state);
    await engine.replacement.perform("events", "one", state.found);
    const index = { name: "one", hidden: false, ...(isPrepared ? { prepareUnique: false } : {}) };
    expect(sent.map((command) => command["index"] as unknown)).toEqual([index]);
  }
});

test("the order of a clustered collection is its primary key, whatever its name", async () => {
  for (const name of ["_id_", "events by id"]) {
    const clustered = { v: 2, key: { _id: 1 }, name, unique: true, clustered: true };
    const info = {
      name: "events",
      type: "collection",
      options: { clusteredIndex: { key: { _id: 1 }, unique: true, name, v: 2 } },
    };
    const { db, named } = mongod({ info, indexes: () => [clustered], commands: {} });
    const view = await (await engineOn(db, ONE)).observe("events");
    expect(view.actual).toMatchObject([{ name, guards: "primary key" }]);
    expect(stateOf(view, "one")).toEqual({ state: "missing" });
    expect(named("createIndexes")).toEqual([]);
  }
});

test("views and time-series collections are called by their kind, and nothing is done to them", async () => {
  for (const type of ["view", "timeseries"]) {
    const { db, sent } = mongod({ info: { name: "events", type, options: { viewOn: "others", pipeline: [] } } });
    const { outcome, ledger } = await ensureIt(await ensuring(db, ONE, { mayReplace: true, mayCreateTarget: true }));
    expect(outcome).toEqual({ action: "failed", detail: `it is a ${type}` });
    expect([sent, ledger.entries]).toEqual([[], []]);
  }
});

test("collMod makes an index a TTL index since 5.1; 5.0 is told what to do, and no version takes a TTL away", async () => {
  const plain = { v: 2, key: { a: 1 }, name: "one" };
  const ttl = { ...plain, expireAfterSeconds: 60 };
  const expiring = { ...ONE, expireAfterSeconds: 60 };
  for (const version of [
    [5, 1, 0, 0],
    [6, 0, 5, 0],
    [8, 0, 4, 0],
  ]) {
    let listed = plain;
    const collMod = () => (listed = ttl);
    const { db, named } = mongod({ version, indexes: () => [BY_ID, listed], commands: { collMod } });
    const { outcome } = await ensureIt(await ensuring(db, expiring, { mayReplace: true }));
    expect(outcome.action, String(version)).toBe("replaced");
    expect(named("collMod")).toMatchObject([{ index: { name: "one", expireAfterSeconds: 60 } }]);
    expect(named("createIndexes")).toEqual([]);
  }
  for (const [version, found, wanted] of [
    [[5, 0, 31, 0], plain, expiring],
    [[8, 0, 4, 0], ttl, ONE],
  ] as const) {
    const { db, sent } = mongod({ version, indexes: () => [BY_ID, found] });
    const { outcome } = await ensureIt(await ensuring(db, wanted, { mayReplace: true }));
    expect(outcome.action).toBe("different");
    expect(outcome.detail).toMatch(/When nothing reads through one, drop it by hand and run ensure again\.$/);
    expect(sent).toEqual([]);
  }
});
