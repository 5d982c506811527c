/** A database that answers as mongod does, in what the servers of the integration tests do not have. */
import type { Db, Document } from "mongodb";
import { mongoEngine } from "../../../src/indexes/engines/mongo/engine.ts";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";

export interface Answers {
  /** by the command's name: its reply, or what computes it; `{ ok: 1 }` for others */
  readonly commands?: Readonly<Record<string, () => unknown>>;
  readonly version?: readonly number[];
  /** the entry of `listCollections`; default an ordinary collection "events" */
  readonly info?: Document;
  readonly indexes?: () => readonly Document[];
  /** `config.system.indexBuilds` */
  readonly builds?: readonly Document[];
}

/** The database, and the commands that it was sent but `buildInfo`. */
export function mongod(answers: Answers) {
  const { commands = {}, version = [8, 0, 4, 0], info = { name: "events", type: "collection", options: {} } } = answers;
  const sent: Document[] = [];
  const list = (items: readonly unknown[]) => ({ toArray: () => Promise.resolve(items) });
  const configured = {
    findOne: ({ indexNames }: Document) =>
      Promise.resolve(
        answers.builds?.find((one) => (one["indexNames"] as string[]).includes(indexNames as string)) ?? null,
      ),
  };
  const db = {
    async command(command: Document) {
      const [name = ""] = Object.keys(command);
      if (name === "buildInfo") return { version: version.slice(0, 3).join("."), versionArray: version };
      sent.push(command);
      return (await commands[name]?.()) ?? { ok: 1 };
    },
    listCollections: () => list([info]),
    collection: () => ({
      listIndexes: () => list(answers.indexes?.() ?? []),
      aggregate: () => list([]),
      findOne: () => Promise.resolve({ _id: 1 }),
    }),
    client: { db: () => ({ collection: () => configured, aggregate: () => list([]) }) },
  };
  return { db: db as unknown as Db, sent, named: (name: string) => sent.filter((command) => name in command) };
}

/** An engine with these indexes declared on the collection "events". */
export function engineOn(db: Db, ...indexes: readonly Omit<MongoIndex, "why">[]) {
  const declared = indexes.map((index) => ({ why: "test", ...index }));
  return mongoEngine({
    db,
    signal: new AbortController().signal,
    allowBlocking: false,
    maxBuildMs: 60_000,
    maxWaitMs: 60_000,
    onProgress: () => undefined,
    indexes: { events: declared },
  });
}
