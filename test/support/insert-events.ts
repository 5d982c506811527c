import type { Collection, Document } from "mongodb";

const BATCH = 5_000;

/** Inserts documents, however many. */
export async function insertEvents(events: Collection, documents: Iterable<Document>): Promise<void> {
  let batch: Document[] = [];
  for (const document of documents) {
    batch.push(document);
    if (batch.length < BATCH) continue;
    await events.insertMany(batch, { ordered: false });
    batch = [];
  }
  if (batch.length > 0) await events.insertMany(batch, { ordered: false });
}
