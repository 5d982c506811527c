/** The ledger of a MongoDB database: a collection in the same database. */
import type { Db, Document } from "mongodb";
import type { Ledger, LedgerEntry } from "../../ledger/ledger.ts";
import { LEDGER_COLLECTION } from "../../manifest/reserved.ts";
import { confirmed, MAJORITY } from "./write-concern.ts";

type Stored = Omit<LedgerEntry, "startedAt" | "finishedAt"> & {
  _id: string;
  startedAt: Date;
  finishedAt?: Date | null;
};

/** Written under the keeper's lock. */
export class MongoLedger implements Ledger {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  async read(): Promise<readonly LedgerEntry[]> {
    const stored = await this.#collection().find().sort({ startedAt: 1, _id: 1 }).toArray();
    return stored.map(({ _id, startedAt, finishedAt, ...entry }) => ({
      ...entry,
      startedAt: startedAt.toISOString(),
      ...(finishedAt ? { finishedAt: finishedAt.toISOString() } : {}),
    }));
  }

  async write(entry: Omit<LedgerEntry, "startedAt" | "finishedAt">): Promise<void> {
    const { target, name, runId, state } = entry;
    // The server's clock; $literal, since a definition is full of dollar signs.
    const values = Object.fromEntries(Object.entries(entry).map(([field, value]) => [field, { $literal: value }]));
    const update: Document[] = [
      {
        $set: {
          error: "$$REMOVE",
          ...values,
          startedAt: { $ifNull: ["$startedAt", "$$NOW"] },
          finishedAt: state === "started" ? null : "$$NOW",
        },
      },
    ];
    const writeConcern = { w: MAJORITY.w, wtimeoutMS: MAJORITY.wtimeout };
    await confirmed(`the ledger entry of ${name || target} is written`, () =>
      this.#collection().updateOne({ _id: `${runId}|${target}|${name}` }, update, { upsert: true, writeConcern }),
    );
  }

  #collection() {
    return this.#db.collection<Stored>(LEDGER_COLLECTION);
  }
}
