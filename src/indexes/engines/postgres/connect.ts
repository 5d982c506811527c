import { hostname } from "node:os";
import pg from "pg";
import { UnreachableError, UsageError } from "../../../errors.ts";
import { messageOf } from "../engine.ts";

/** The settings of each of the keeper's connections. The driver itself would wait for an answer for ever. */
export function keeperOptions(databaseUrl: string, purpose: string): pg.ClientConfig {
  return {
    connectionString: databaseUrl,
    application_name: `${purpose} ${hostname()}:${process.pid}`,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
  };
}

/**
 * A connection of the keeper's own, for one purpose that others see in pg_stat_activity.
 *
 * @throws UsageError where the server refuses it, UnreachableError where none answers
 */
export async function connectPostgres(databaseUrl: string, purpose: string): Promise<pg.Client> {
  const client = new pg.Client(keeperOptions(databaseUrl, purpose));
  client.on("error", () => undefined); // the statement that it breaks throws
  try {
    await client.connect();
    return client;
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const message = `PostgreSQL: ${messageOf(error) || String(code)}`;
    const isRefused = typeof code === "string" && (code.startsWith("28") || code === "3D000");
    throw isRefused ? new UsageError(message, { cause: error }) : new UnreachableError(message, { cause: error });
  }
}
