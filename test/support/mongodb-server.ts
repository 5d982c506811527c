import { randomBytes } from "node:crypto";
import { MongoClient } from "mongodb";
import type { TestProject } from "vitest/node";
import { startMongo } from "../../dev/servers.ts";

declare module "vitest" {
  interface ProvidedContext {
    mongodbUri: string;
    /** the one database in which the tests of test/mongodb may work */
    scratchDatabase: string;
  }
}

/**
 * Once for the tests of test/mongodb: the server that MONGODB_URI names, else one that is started. Where `npm run
 * check:mongodb` runs them, the database is its own (TALLYMAN_CHECK_DATABASE), and dropped by it.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const named = process.env["MONGODB_URI"] || undefined;
  const server = named === undefined ? await startMongo() : { uri: named };
  const { uri } = server;
  if ("stop" in server) process.stderr.write(`mongodb alone: ${server.source}\n`);
  const given = process.env["TALLYMAN_CHECK_DATABASE"];
  const database = given || `tallyman_test_${randomBytes(6).toString("hex")}`;
  project.provide("mongodbUri", uri);
  project.provide("scratchDatabase", database);
  return async () => {
    if ("stop" in server) return server.stop();
    if (given) return;
    const client = await MongoClient.connect(uri);
    await client.db(database).dropDatabase();
    await client.close();
  };
}
