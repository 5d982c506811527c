import { hostname } from "node:os";
import pg from "pg";
import { UnreachableError, UsageError } from "../../../errors.ts";
import { clientOptions } from "../../../postgres/client-options.ts";
import { messageOf } from "../engine.ts";

/** The settings of the keeper's connections. */
export function keeperOptions(databaseUrl: string, purpose: string): pg.ClientConfig {
  return clientOptions(databaseUrl, `${purpose} ${hostname()}:${process.pid}`);
}

/**
 * Opens a connection whose purpose shows as application_name in pg_stat_activity.
 *
 * @throws UsageError if the server refuses the connection, UnreachableError if no server answers
 */
export async function connectPostgres(databaseUrl: string, purpose: string): Promise<pg.Client> {
  const client = new pg.Client(keeperOptions(databaseUrl, purpose));
  client.on("error", () => undefined); // the statement that the error interrupts throws
  try {
    await client.connect();
    // The rules by which the manifest's SQL was read.
    await client.query("SET standard_conforming_strings = on");
    return client;
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const message = `PostgreSQL: ${messageOf(error) || String(code)}`;
    const isRefused = typeof code === "string" && (code.startsWith("28") || code === "3D000");
    throw isRefused ? new UsageError(message, { cause: error }) : new UnreachableError(message, { cause: error });
  }
}
