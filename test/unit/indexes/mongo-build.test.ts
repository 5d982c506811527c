/** Builds in a replica set whose members are late, which no server of the integration tests is. */
import { MongoServerError, MongoWriteConcernError, UUID } from "mongodb";
import { expect, test } from "vitest";
import { build } from "../../../src/indexes/engines/mongo/build.ts";
import { MongoLedger } from "../../../src/indexes/engines/mongo/ledger.ts";
import { mongod } from "./mongod.ts";
import { ensuring, ensureIt } from "./ensuring.ts";

const SPEC = { key: { a: 1 }, name: "one" };
const LIMITS = { blocking: false, maxWaitMs: 60_000, signal: new AbortController().signal };
const WAITING = {
  _id: new UUID(),
  indexNames: ["one"],
  commitQuorum: "votingMembers",
  commitReadyMembers: ["a.example:27017", "b.example:27017"],
};
/** As the driver reports `ok: 1` with a `writeConcernError`. */
const unconfirmed = () =>
  new MongoWriteConcernError({
    ok: 1,
    writeConcernError: {
      code: 64,
      codeName: "WriteConcernTimeout",
      errmsg: "waiting for replication timed out",
      errInfo: { wtimeout: true },
    },
  });
const rejecting = (error: () => Error) => () => Promise.reject(error());

/** A build that the server goes on with until its index is dropped. */
function running(answers: Parameters<typeof mongod>[0] = {}, drop: () => unknown = () => ({ ok: 1 })) {
  let end: (error: Error) => void = () => undefined;
  const created = new Promise((_resolve, reject) => (end = reject));
  const dropIndexes = () => {
    const reply = drop();
    end(new MongoServerError({ message: "Index build aborted", code: 276 }));
    return reply;
  };
  return mongod({ ...answers, commands: { createIndexes: () => created, dropIndexes } });
}

test("a build is told to wait for the majority for a limited time, and keeps the server's commit quorum", async () => {
  const { db, named } = mongod({});
  await build({ db, ...LIMITS, maxBuildMs: 60_000, onProgress: () => undefined }, "events", SPEC);
  const [command] = named("createIndexes");
  expect(command).toMatchObject({ writeConcern: { w: "majority", wtimeout: 60_000 } });
  expect(command).not.toHaveProperty("commitQuorum");
});

test("progress says which members have built their part, where the server tells", async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const { db } = running({ builds: [WAITING] });
  const onProgress = (line: string) => {
    told.push(line);
    stop.abort();
  };
  const building = build({ db, ...LIMITS, signal: stop.signal, maxBuildMs: 60_000, onProgress }, "events", SPEC);
  await expect(building).rejects.toThrow("cancelled");
  expect(told[0]).toMatch(
    /^mongodb events one: waiting for the commit quorum "votingMembers"; ready: a\.example:27017, b\.example:27017, \d+ s$/,
  );
});

test("at the limit the build is ended, and the error says whom it waited for", async () => {
  const { db, named } = running({ builds: [WAITING] });
  const building = build({ db, ...LIMITS, maxBuildMs: 5, onProgress: () => undefined }, "events", SPEC);
  await expect(building).rejects.toThrow(
    'cancelled after 5 ms, while waiting for the commit quorum "votingMembers"; ready: a.example:27017, b.example:27017',
  );
  // Else the end of the build would wait for the members that hold it up.
  expect(named("dropIndexes")).toEqual([{ dropIndexes: "events", index: "one", writeConcern: { w: 1 } }]);
});

test("a build that the server does not end at once is ended later", async () => {
  let refusals = 2;
  const created = { end: (_error: Error): void => undefined };
  const told: string[] = [];
  const { db, named } = mongod({
    commands: {
      createIndexes: () => new Promise((_resolve, reject) => (created.end = reject)),
      dropIndexes: () => {
        refusals -= 1;
        if (refusals >= 0) return Promise.reject(new MongoServerError({ message: "lock held", code: 46 }));
        created.end(new MongoServerError({ message: "Index build aborted", code: 276 }));
        return { ok: 1 };
      },
    },
  });
  const building = build({ db, ...LIMITS, maxBuildMs: 5, onProgress: (line) => told.push(line) }, "events", SPEC);
  await expect(building).rejects.toThrow("cancelled after 5 ms");
  expect(named("dropIndexes")).toHaveLength(3);
  const refused = told.filter((line) => line.includes("not cancelled"));
  expect(refused).toEqual(Array(2).fill("mongodb events one: not cancelled yet: lock held"));
});

test("an index that the majority does not confirm fails with what to do, stays, and is completed by the next run", async () => {
  let isBuilt = false;
  const createIndexes = () => {
    isBuilt = true;
    return Promise.reject(unconfirmed());
  };
  const { db, named } = mongod({ commands: { createIndexes }, indexes: () => (isBuilt ? [{ v: 2, ...SPEC }] : []) });
  const one = { name: "one", keys: [["a", 1]] as const };
  const { outcome, ledger } = await ensureIt(await ensuring(db, one));
  expect(outcome.action).toBe("failed");
  expect(outcome.detail).toBe(
    "one is built on the primary, but the majority of the members did not confirm that within 60 s. See with rs.status() " +
      "which member is down or behind, then run the same command again; the index exists nevertheless; the next run " +
      "completes the ledger",
  );
  expect(ledger.entries.map(({ state }) => state)).toEqual(["started"]);
  expect(named("dropIndexes")).toEqual([]);

  const again = await ensureIt(await ensuring(db, one, {}, ledger));
  expect(again.outcome).toEqual({ action: "present" });
  expect(ledger.entries.map(({ state }) => state)).toEqual(["done"]);
});

test("the ledger, drops and changes in place wait for the majority for a limited time too", async () => {
  const { db, sent } = mongod({ commands: { dropIndexes: rejecting(unconfirmed) } });
  const { engine } = await ensuring(db, { name: "one", keys: [["a", 1]] });
  await expect(engine.drop("events", "one")).rejects.toThrow(/^one is dropped on the primary, but the majority/);
  await engine.createTarget("events");
  await engine.replacement.perform("events", "one", {
    name: "one",
    form: { ...((await engine.observe("events")).declared.get("one") as { form: object }).form, hidden: "true" },
    valid: true,
    building: false,
  });
  expect(sent.map((command) => Object.keys(command)[0])).toEqual(["dropIndexes", "create", "collMod"]);
  for (const command of sent) expect(command["writeConcern"]).toEqual({ w: "majority", wtimeout: 60_000 });

  let options: unknown;
  const updateOne = (...given: unknown[]) => {
    options = given[2];
    return Promise.reject(unconfirmed());
  };
  const ledger = new MongoLedger({ collection: () => ({ updateOne }) } as never);
  const entry = { target: "events", name: "one", runId: "r", state: "started" } as never;
  await expect(ledger.write(entry)).rejects.toThrow(/^the ledger entry of one is written on the primary, but/);
  expect(options).toMatchObject({ writeConcern: { w: "majority", wtimeoutMS: 60_000 } });
});
