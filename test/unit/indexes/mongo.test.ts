/** What differs on a server that builds online, which the integration servers need not be: a stub answers as it would. */
import { type Db, MongoServerError } from "mongodb";
import { expect, test } from "vitest";
import { listIndexes } from "../../../src/indexes/engines/mongo/catalog.ts";
import { mongoEngine } from "../../../src/indexes/engines/mongo/engine.ts";
import { engineOn, mongod } from "./mongod.ts";

type Command = Record<string, unknown>;

function stub(answers: { building?: boolean; createIndexes?: () => Promise<unknown>; ferretdb?: boolean }) {
  const sent: Command[] = [];
  const list = (items: unknown[]) => ({ toArray: () => Promise.resolve(items) });
  const db = {
    command(command: Command) {
      sent.push(command);
      if ("buildInfo" in command) return Promise.resolve(answers.ferretdb ? { ferretdb: {} } : { version: "8.0.0" });
      if ("createIndexes" in command) return answers.createIndexes?.() ?? Promise.resolve({ ok: 1 });
      return Promise.resolve({ ok: 1 });
    },
    listCollections: () => list([{ name: "events", type: "collection", options: {} }]),
    collection: () => ({
      listIndexes: () => list([{ name: "_id_", key: { _id: 1 } }, { name: "one", key: { a: 1 } }]), // prettier-ignore
      aggregate: () => list([{ name: "one", building: answers.building }]),
      findOne: () => Promise.resolve({ _id: 1 }),
    }),
  };
  return { db: db as unknown as Db, sent };
}

const engineOf = (db: Db, signal = new AbortController().signal, onProgress: () => void = () => undefined) =>
  mongoEngine({
    db,
    signal,
    allowBlocking: false,
    maxBuildMs: 60_000,
    maxWaitMs: 60_000,
    onProgress,
    indexes: { events: [{ name: "one", why: "test", keys: [["a", 1]] }] },
  });

test("listIndexes shows a running build as finished; $indexStats shows it as building", async () => {
  const building = await (await engineOf(stub({ building: true }).db)).observe("events");
  expect(building.actual.find(({ name }) => name === "one")).toMatchObject({ building: true });
  const finished = await (await engineOf(stub({}).db)).observe("events");
  expect(finished.actual.find(({ name }) => name === "one")).toMatchObject({ building: false });
});

test("another session's build is waited for by polling, since the server refuses the same index under another name", async () => {
  const answers: { building?: boolean } = { building: true };
  const { db, sent } = stub(answers);
  const engine = await engineOf(db, new AbortController().signal, () => (answers.building = false));
  await engine.waitForBuild("events", "one");
  expect(answers.building).toBe(false);
  expect(sent.filter((command) => "createIndexes" in command)).toEqual([]);
});

test("a build is one command for one index, without a time limit that would abort it", async () => {
  const { db, sent } = stub({});
  const engine = await engineOf(db);
  expect(await engine.refusal("events", "one")).toBeUndefined();
  await engine.create("events", "one");
  expect(sent[1]).toMatchObject({ createIndexes: "events", indexes: [{ name: "one", key: new Map([["a", 1]]) }] });
  expect(sent[1]).not.toHaveProperty("maxTimeMS");
});

test("the command is printed in the syntax of mongosh", async () => {
  const engine = await engineOf(stub({}).db);
  expect(engine.definition("events", "one")).toBe(
    'db.runCommand({ createIndexes: "events", indexes: [{ key: { a: 1 }, name: "one" }] })',
  );
});

test("a cancelled build is ended by dropping its index; on a blocking server its end is waited for", async () => {
  for (const ferretdb of [false, true]) {
    const stop = new AbortController();
    let end: (error?: Error) => void = () => undefined;
    const { db, sent } = stub({
      ferretdb,
      createIndexes: () =>
        new Promise((resolve, reject) => {
          end = (error) => (error ? reject(error) : resolve({ ok: 1 }));
        }),
    });
    const engine = await engineOf(db, stop.signal);
    const building = engine.create("events", "one");
    building.catch(() => undefined);
    stop.abort();
    await new Promise((resolve) => setImmediate(resolve));
    const drops = sent.filter((command) => "dropIndexes" in command);
    if (ferretdb) {
      expect(drops).toEqual([]);
      end();
      await expect(building).resolves.toBeUndefined();
    } else {
      expect(drops).toMatchObject([{ dropIndexes: "events", index: "one" }]);
      end(new MongoServerError({ message: "Index build aborted", code: 276 }));
      await expect(building).rejects.toThrow("cancelled");
    }
  }
});

test("a conflict leads to a fresh look, a stepdown to a retry, bad data to a failure", async () => {
  const engine = await engineOf(stub({}).db);
  const verdict = (code: number) => engine.recovery(new MongoServerError({ message: "x", code }));
  expect(await Promise.all([85, 86, 11000, 67].map(verdict))).toEqual(["again", "again", "fail", "fail"]);
  const passing = [91, 189, 276, 285, 10107, 11600, 11602, 12587, 13435, 13436];
  for (const code of passing) expect(await verdict(code), String(code)).toBe("retry");
});

test("a mongos that does not reach a shard in time, or whose shards do other DDL, is asked again", async () => {
  const engine = await engineOf(stub({}).db);
  const verdict = (code: number) => engine.recovery(new MongoServerError({ message: "x", code }));
  for (const code of [6, 7, 89, 117, 202, 262, 407]) expect(await verdict(code), String(code)).toBe("retry");
});

test("a collection that another process creates first, or drops meanwhile, is no error", async () => {
  const rejecting = (code: number) => () => Promise.reject(new MongoServerError({ message: "x", code }));
  const engine = (code: number) => engineOn(mongod({ commands: { create: rejecting(code) } }).db);
  await expect((await engine(48)).createTarget("events")).resolves.toBeUndefined();
  await expect((await engine(13)).createTarget("events")).rejects.toThrow("x");
  const listing = (code: number) => ({ collection: () => ({ listIndexes: () => ({ toArray: rejecting(code) }) }) });
  expect(await listIndexes(listing(26) as never, "events")).toEqual([]);
  await expect(listIndexes(listing(13) as never, "events")).rejects.toThrow("x");
});
