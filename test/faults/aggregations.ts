import { MongoClient } from "mongodb";
import type { Source } from "./source.ts";

/** Reads the running aggregations on the events from the server, over a connection of its own. */
export interface AggregationWatch {
  count(): Promise<number>;
  close(): Promise<void>;
}

interface Operation {
  readonly ns?: string;
  readonly active?: boolean;
  readonly command?: { readonly aggregate?: unknown };
}

/** Watches the running aggregations on the events of a source. */
export async function runningAggregations({ uri, collection }: Source): Promise<AggregationWatch> {
  const client = new MongoClient(uri, { maxPoolSize: 1 });
  await client.connect();
  return {
    async count() {
      const operations = await client
        .db("admin")
        .aggregate<Operation>([{ $currentOp: {} }])
        .toArray();
      return operations.filter(
        ({ ns, active, command }) =>
          active === true && ns === collection.namespace && command?.aggregate === collection.collectionName,
      ).length;
    },
    close: () => client.close(),
  };
}
