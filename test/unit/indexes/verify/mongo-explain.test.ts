/** A query that does not end in time, on servers that say so with their own codes. */
import { MongoServerError, type Db, type Document } from "mongodb";
import { expect, test } from "vitest";
import { explainOnMongo, measureOnMongo } from "../../../../src/indexes/engines/mongo/verify/explain.ts";

const CONTRACT = { name: "c", count: {} };
const QUERY = { count: {} };
const PLAN = { queryPlanner: { winningPlan: { stage: "COLLSCAN" } } };

/** A server that plans the query, and ends its execution with this error. */
function ending(code: number) {
  const error = new MongoServerError({ message: "late", code });
  const command = ({ verbosity }: Document) =>
    verbosity === "queryPlanner" ? Promise.resolve(PLAN) : Promise.reject(error);
  return { db: { command, collection: () => ({}) } as unknown as Db, name: "events", isFerret: false, limitMs: 1000 };
}

test("a query is only planned, and has no time, where mongod or a mongos ends it for its time", async () => {
  for (const code of [50, 202, 262, 407]) {
    const explained = await explainOnMongo(ending(code), CONTRACT, QUERY);
    expect(explained, String(code)).toMatchObject({ isCutOff: true, plan: { accesses: [{ stage: "COLLSCAN" }] } });
    expect(await measureOnMongo(ending(code), CONTRACT, QUERY, 100)).toBeUndefined();
  }
});

test("another error is not taken for a late answer", async () => {
  await expect(explainOnMongo(ending(13), CONTRACT, QUERY)).rejects.toThrow("late");
  await expect(measureOnMongo(ending(13), CONTRACT, QUERY, 100)).rejects.toThrow("late");
});
