/** An index of another definition under a declared name in MongoDB, where no index can be renamed. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Document } from "mongodb";
import { MongoLedger } from "../../../src/indexes/engines/mongo/ledger.ts";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";
import { actions, EVENTS, type Keeper, keeper, onCollection, statuses } from "./keeper.ts";
import { type Scratch, scratch } from "./scratch.ts";

let own: Scratch;
let it: Keeper;
beforeAll(async () => {
  own = await scratch();
  it = keeper(own);
});
afterAll(() => own.drop());
beforeEach(() => own.mongo.dropDatabase());

const events = () => own.mongo.collection(EVENTS);
const replace = (index: Partial<MongoIndex>, allowBlocking = true) =>
  it.ensure(onCollection(index), { replace: true, allowBlocking });

/** Specs by name, without what every index has. */
async function specs(): Promise<Record<string, Document>> {
  const list = (await events().listIndexes().toArray()) as Document[];
  return Object.fromEntries(
    list
      .filter(({ name }) => name !== "_id_")
      .map(({ name, v: _v, storageEngine: _storageEngine, ...spec }) => [name as string, spec]),
  );
}

const VERSION = /^by_a__[0-9a-f]{6}$/;

test("an index with new keys gets a name of its own, is found under it, and its rollback brings the old one back", async () => {
  await events().insertOne({ a: 1 });
  await events().createIndex({ a: -1, b: 1 }, { name: "by_a", partialFilterExpression: { "c.d": { $gt: 1 } } });
  const before = await specs();
  expect(actions((await it.ensure(onCollection({}))).entries)).toEqual({ by_a: "different" });
  expect(await specs()).toEqual(before);

  const report = await replace({});
  expect(report.entries).toMatchObject([{ action: "replaced", detail: expect.stringMatching(/^as by_a__/) as string }]);
  const [name] = Object.keys(await specs());
  expect(name).toMatch(VERSION);
  expect(await specs()).toEqual({ [name ?? ""]: { key: { a: 1 } } });

  const again = await it.ensure(onCollection({}));
  expect(again.entries).toMatchObject([{ action: "present", detail: `as ${name}` }]);
  const check = await it.check(onCollection({}));
  expect(check).toMatchObject({ ok: true, targets: [{ indexes: [{ name: "by_a", status: "renamed" }] }] });

  // A server that blocks writers is not made to by a rollback either.
  const isBlocking = "ferretdb" in (await own.mongo.command({ buildInfo: 1 }));
  const refused = isBlocking ? actions(await it.rollback(onCollection({}))) : { by_a: "kept" };
  expect(refused).toEqual({ by_a: "kept" });
  expect(await it.rollback(onCollection({}), {}, { allowBlocking: true })).toMatchObject([{ action: "restored" }]);
  expect(await specs()).toEqual(before);
});

test("a third definition replaces the second, and rollbacks undo both in order", async () => {
  const first = await it.ensure(onCollection({}));
  const created = await specs();
  const { runId } = await replace({ keys: [["b", 1]] });
  const second = await specs();
  const third = onCollection({ keys: [["c", 1]] });
  expect(actions((await it.ensure(third)).entries)).toEqual({ by_a: "different" });
  await replace({ keys: [["c", 1]] });
  expect(Object.values(await specs()).map(({ key }) => key as unknown)).toEqual([{ c: 1 }]);

  expect(actions(await it.rollback(third))).toEqual({ by_a: "restored" });
  expect(await specs()).toEqual(second);
  expect(actions(await it.rollback(third, { runId }))).toEqual({ by_a: "restored" });
  expect(await specs()).toEqual(created);
  expect(actions(await it.rollback(third, { runId: first.runId }))).toEqual({ by_a: "dropped", "": "dropped" });
});

test("a replacement whose process died between its two steps is finished by the next run, or undone by a rollback", async () => {
  for (const then of ["ensure", "rollback"] as const) {
    await own.mongo.dropDatabase();
    await events().createIndex({ b: 1 }, { name: "by_a" });
    const before = await specs();
    const { runId } = await replace({});
    const name = Object.keys(await specs())[0] ?? "";
    // As it was between the two: both are there, and the ledger tells of no end.
    await events().createIndex({ b: 1 }, { name: "by_a" });
    const ledger = new MongoLedger(own.mongo);
    const [entry] = (await ledger.read()).filter((one) => one.intent === "replace");
    if (!entry) throw new Error("no entry");
    const { startedAt: _startedAt, finishedAt: _finishedAt, ...rest } = entry;
    await ledger.write({ ...rest, state: "started" });
    if (then === "ensure") {
      const { entries } = await replace({});
      expect(actions(entries), JSON.stringify(entries)).toEqual({ by_a: "replaced" });
      expect(Object.keys(await specs())).toEqual([name]);
    } else {
      expect(actions(await it.rollback(onCollection({}), { runId }))).toEqual({ by_a: "restored" });
      expect(await specs()).toEqual(before);
    }
  }
});

test.each<[string, Document, Partial<MongoIndex>]>([
  ["a TTL", { expireAfterSeconds: 60 }, { expireAfterSeconds: 3_600 }],
  ["whether it is hidden", {}, { hidden: true }],
])("%s is changed in place, and changed back", async (_what, options, wanted) => {
  await events().insertOne({ a: new Date("2999-01-01") });
  await events().createIndex({ a: 1 }, { name: "by_a", ...options });
  const before = await specs();
  const check = await it.check(onCollection(wanted));
  expect(statuses(check.targets[0]?.indexes ?? [])).toEqual({ by_a: "attrs" });
  expect(actions((await it.ensure(onCollection(wanted))).entries)).toEqual({ by_a: "different" });
  // No build, so it needs no leave.
  expect((await replace(wanted, false)).entries).toMatchObject([{ action: "replaced" }]);
  expect(await specs()).toEqual({ by_a: { ...before["by_a"], ...wanted } });
  expect(actions(await it.rollback(onCollection(wanted)))).toEqual({ by_a: "restored" });
  expect(await specs()).toEqual(before);
});

test("a new index that cannot exist beside the old one is refused with what to do, and nothing changes", async () => {
  await events().insertOne({ a: new Date("2999-01-01") });
  await events().createIndex({ e: "text" }, { name: "by_a", weights: { e: 2 } });
  const before = await specs();
  const text: Partial<MongoIndex>[] = [
    { keys: [["e", "text"]], weights: { e: 5 } },
    { keys: [["f", "text"]], weights: { f: 1 } },
  ];
  for (const wanted of text) {
    const report = await replace(wanted);
    expect(report.entries).toMatchObject([
      { action: "different", detail: expect.stringMatching(/nothing reads through by_a, drop it by hand/) as string },
    ]);
    expect(await specs()).toEqual(before);
  }
  // No server takes a TTL away.
  await events().dropIndex("by_a");
  await events().createIndex({ a: 1 }, { name: "by_a", expireAfterSeconds: 5 });
  const expiring = await specs();
  expect(actions((await replace({})).entries)).toEqual({ by_a: "different" });
  expect(await specs()).toEqual(expiring);
});

test("an index becomes a TTL index in place; a rollback, which cannot take that away, stops its deletions", async () => {
  await events().insertOne({ a: new Date("2999-01-01") });
  await events().createIndex({ a: 1 }, { name: "by_a" });
  const before = await specs();
  const wanted = onCollection({ expireAfterSeconds: 3_600 });
  expect(statuses((await it.check(wanted)).targets[0]?.indexes ?? [])).toEqual({ by_a: "attrs" });
  // No build, so it needs no leave.
  const { runId, entries } = await it.ensure(wanted, { replace: true });
  expect(entries).toMatchObject([{ action: "replaced" }]);
  expect(await specs()).toEqual({ by_a: { ...before["by_a"], expireAfterSeconds: 3_600 } });
  expect(actions((await it.ensure(wanted)).entries)).toEqual({ by_a: "present" });

  expect(await it.rollback(wanted, { runId })).toMatchObject([
    { action: "kept", detail: expect.stringMatching(/^no server takes a TTL away from an index: by_a now/) as string },
  ]);
  expect(await specs()).toEqual({ by_a: { ...before["by_a"], expireAfterSeconds: 2_147_483_647 } });
});

test("a name over 63 bytes is built, replaced and taken back like any other", async () => {
  const name = `by_${"long_".repeat(30)}name`;
  await events().insertOne({ a: 1 });
  const first = await it.ensure(onCollection({ name }), { allowBlocking: true });
  const before = await specs();
  expect(Object.keys(before)).toEqual([name]);
  const second = await replace({ name, keys: [["b", 1]] });
  expect(actions(second.entries)).toEqual({ [name]: "replaced" });
  const other = onCollection({ name, keys: [["b", 1]] });
  expect(actions((await it.ensure(other)).entries)).toEqual({ [name]: "present" });
  expect(actions(await it.rollback(other, { runId: second.runId }, { allowBlocking: true }))).toEqual({
    [name]: "restored",
  });
  expect(await specs()).toEqual(before);
  expect(actions(await it.rollback(onCollection({ name }), { runId: first.runId }))).toEqual({ [name]: "dropped" });
});

test("an index that blocks the build and has a foreign name is left alone", async () => {
  await events().createIndex({ a: 1 }, { name: "theirs", expireAfterSeconds: 60 });
  const before = await specs();
  const report = await replace({ expireAfterSeconds: 3_600 });
  expect(report.entries).toMatchObject([
    { action: "different", detail: expect.stringMatching(/^as theirs: .*not declared/) as string },
  ]);
  expect(await specs()).toEqual(before);
});

test("a declared name that looks like a version of another index is not taken for a version", async () => {
  const two = onCollection({}, { name: "by_a__abcdef", keys: [["b", 1]] });
  expect(actions((await it.ensure(two)).entries)).toEqual({ by_a: "created", by_a__abcdef: "created" });
  const changed = onCollection({ keys: [["c", 1]] }, { name: "by_a__abcdef", keys: [["b", 1]] });
  await it.ensure(changed, { replace: true });
  expect((await specs())["by_a__abcdef"]).toMatchObject({ key: { b: 1 } });
});
