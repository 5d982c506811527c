import { MongoClient } from "mongodb";
import pg from "pg";
import { LEDGER_COLLECTION, OWN_TABLE } from "../../src/indexes/index.ts";

/** Every table, collection and index of both databases, a line each, without the keeper's own. */
export async function readCatalog(env: {
  readonly MONGODB_URI: string;
  readonly DATABASE_URL: string;
}): Promise<readonly string[]> {
  return [...(await readPostgres(env.DATABASE_URL)), ...(await readMongo(env.MONGODB_URI))].sort();
}

/** Includes identities, so that an index that was dropped and made again shows as a difference. */
async function readPostgres(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ line: string }>(
      `SELECT format('%s %s.%s %s %s', c.relkind, n.nspname, c.relname, c.oid, pg_get_indexdef(i.indexrelid)) AS line
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relkind IN ('r', 'p', 'm', 'i')
          AND NOT starts_with(c.relname, $1)`,
      [OWN_TABLE],
    );
    return rows.map(({ line }) => line);
  } finally {
    await client.end();
  }
}

async function readMongo(uri: string): Promise<string[]> {
  const client = await MongoClient.connect(uri);
  try {
    const db = client.db();
    const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
    const lines = await Promise.all(
      names
        .filter((name) => name !== LEDGER_COLLECTION)
        .map(async (name) => {
          const indexes = await db.collection(name).listIndexes().toArray();
          return [`collection ${name}`, ...indexes.map((index) => `index ${name} ${JSON.stringify(index)}`)];
        }),
    );
    return lines.flat();
  } finally {
    await client.close();
  }
}
