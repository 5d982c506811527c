import { type Db, type Document, MongoClient } from "mongodb";
import { inject } from "vitest";

/**
 * Gives work a connection of its own to a database, and answers with its result what the server told it of collections'
 * sizes. The server vacuums by itself, which moves a size from one question to the next.
 */
export async function storageTold<T>(name: string, work: (db: Db) => Promise<T>): Promise<[T, Document[]]> {
  const client = new MongoClient(inject("mongodbUri"), { monitorCommands: true });
  const told: Document[] = [];
  client.on("commandSucceeded", ({ reply }) => {
    const [answer] = (reply as { cursor?: { firstBatch?: Document[] } }).cursor?.firstBatch ?? [];
    if (answer?.["storageStats"]) told.push(answer["storageStats"] as Document);
  });
  try {
    return [await work(client.db(name)), told];
  } finally {
    await client.close();
  }
}
