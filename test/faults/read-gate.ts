import pg from "pg";
import type { Running } from "../../dev/servers.ts";
import { until } from "../support/until.ts";
import { PATIENCE_MS } from "./built.ts";
import type { Source } from "./source.ts";

/** Holds every read of the events, so that a fault surely comes in the middle of a read. */
export interface ReadGate {
  /** Waits until reads are held. @returns how many, for a person */
  readers(): Promise<string>;
  open(): Promise<void>;
}

/**
 * FerretDB's reads are held by a lock in the PostgreSQL behind it; mongod has no such lock, so its process is stopped.
 */
export async function shutReadGate(server: Running, source: Source): Promise<ReadGate> {
  if (server.behind) return lockTable(server.behind, source);
  const { pid } = server;
  if (pid === undefined) throw new Error("the server of the events is no process of this machine");
  process.kill(pid, "SIGSTOP");
  return {
    // Every read waits now; after this time each worker has sent one.
    readers: () => new Promise((resolve) => setTimeout(() => resolve("reads of a frozen server"), 1_000)),
    open: () => {
      if (server.pid === pid) process.kill(pid, "SIGCONT"); // else it was taken down
      return Promise.resolve();
    },
  };
}

async function lockTable({ uri }: Running, { collection }: Source): Promise<ReadGate> {
  const client = new pg.Client({ connectionString: uri });
  client.on("error", () => undefined); // the fault may take this server down
  await client.connect();
  const { rows } = await client.query<{ name: string }>(
    `SELECT 'documentdb_data.documents_' || collection_id AS name FROM documentdb_api_catalog.collections
      WHERE database_name = $1 AND collection_name = $2`,
    [collection.dbName, collection.collectionName],
  );
  const table = rows[0]?.name;
  if (table === undefined) throw new Error(`DocumentDB has no table of ${collection.namespace}`);
  await client.query("BEGIN");
  await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return {
    readers: () =>
      until(
        "read that waits for the lock",
        async () => {
          const waiting = await client.query<{ n: number }>(
            "SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = $1::regclass",
            [table],
          );
          const n = waiting.rows[0]?.n ?? 0;
          return n > 0 && `${n} reads running`;
        },
        PATIENCE_MS,
      ),
    open: () => client.end().catch(() => undefined),
  };
}
