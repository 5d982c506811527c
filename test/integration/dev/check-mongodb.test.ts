/** The command that tries a MongoDB, interrupted; its whole course is the project mongodb of vitest. */
import { MongoClient } from "mongodb";
import { afterEach, expect, inject, test } from "vitest";
import { scratchDatabase } from "../../../dev/check-mongodb/scratch.ts";
import { openedOnce } from "../../support/opened.ts";
import { endProcesses, startProgram, type Command } from "../../support/program.ts";
import { until } from "../../support/until.ts";

const client = openedOnce(() => MongoClient.connect(inject("mongodbUri")));
afterEach(endProcesses);

const check = (...args: string[]): Command =>
  startProgram(process.execPath, ["--import", "tsx", "dev/check-mongodb.ts", ...args], {});

/** The name of the database that the command has made, once it has come so far. */
const madeBy = (command: Command, phase: RegExp) =>
  until(`the command at ${phase.source}`, () => {
    const name = /new database (tallyman_check_[0-9a-f]{12})/.exec(command.stderr())?.[1];
    return Promise.resolve(phase.test(command.stderr()) ? name : undefined);
  });

const collections = (database: string) => client.db(database).listCollections({}, { nameOnly: true }).toArray();

test.each([
  ["while it tries the assumptions", /trying sum-grows-to-long/, "SIGINT"],
  ["while its tests run", /✓.*mongodb.*test\/mongodb/, "SIGTERM"],
] as const)("a check that is interrupted %s drops its database and exits with 130", async (_when, phase, signal) => {
  const command = check("--uri", inject("mongodbUri"));
  const database = await madeBy(command, phase);
  expect(await collections(database)).not.toEqual([]);
  command.signal(signal);
  const { code, stdout, stderr } = await command.ended;
  expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
  expect(stderr).toContain(`dropped the database ${database}`);
  expect(await collections(database)).toEqual([]);
});

test("a database that exists is not touched", async () => {
  const made = await scratchDatabase(client);
  await made.db.collection("mine").insertOne({ _id: 1 as never });
  try {
    await expect(scratchDatabase(client, made.name)).rejects.toThrow(`The database ${made.name} exists`);
    expect(await made.db.collection("mine").countDocuments()).toBe(1);
  } finally {
    await made.drop();
  }
  expect(await collections(made.name)).toEqual([]);
});

test.each([
  ["without a server", [], 1, /No server is named\. Give --uri, or set MONGODB_URI\./],
  ["with an unknown option", ["--server", "x"], 1, /unknown option '--server'/],
  ["for a connection string of another server", ["--uri", "postgres://h"], 1, /Check MONGODB_URI/],
  ["for a server that does not answer", ["--uri", "mongodb://127.0.0.1:1/"], 5, /cannot be reached/],
] as const)("a check %s says so, and exits with its code", async (_what, args, code, message) => {
  const ended = await check(...args).ended;
  expect(ended).toMatchObject({ code, stdout: "" });
  expect(ended.stderr).toMatch(message);
});
