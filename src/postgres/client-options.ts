import type pg from "pg";

/**
 * Settings of a session that decide how values are written and read, what a query sees, and how it is planned. They hold
 * in each of our sessions, whatever the database, the role or the connection string says.
 */
const OURS: Readonly<Record<string, string>> = {
  DateStyle: "ISO,YMD",
  TimeZone: "UTC",
  IntervalStyle: "postgres",
  extra_float_digits: "1",
  bytea_output: "hex",
  array_nulls: "on", // off would make a NULL in an array the text "NULL"
  standard_conforming_strings: "on",
  transform_null_equals: "off",
  quote_all_identifiers: "off", // the definitions of indexes are compared as text
  default_transaction_isolation: "read committed", // what the locks are written for
  default_transaction_read_only: "off",
  default_transaction_deferrable: "off",
  row_security: "off", // a policy that would hide rows is an error: a total of some rows is a wrong total
  gin_fuzzy_search_limit: "0", // above zero a GIN index answers with a part of the rows
  plan_cache_mode: "auto",
  enable_seqscan: "on",
  enable_indexscan: "on",
  enable_indexonlyscan: "on",
  enable_bitmapscan: "on",
};

/**
 * By these the server notices a client whose machine is gone without a word, and frees what it held, in half a minute
 * rather than after hours. The connection string may say otherwise.
 */
const NOTICED: Readonly<Record<string, string>> = {
  tcp_keepalives_idle: "10",
  tcp_keepalives_interval: "5",
  tcp_keepalives_count: "3",
  tcp_user_timeout: "30000",
};

/** How every client of ours connects. */
export function clientOptions(databaseUrl: string, applicationName: string): pg.ClientConfig {
  const { url, options } = withoutSession(databaseUrl);
  return {
    connectionString: url,
    application_name: applicationName,
    client_encoding: "UTF8", // the only one that the driver reads
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // The last one of a name wins: what is ours comes after what the connection string says.
    options: [flags(NOTICED), options, flags(OURS)].filter((part) => part !== "").join(" "),
  };
}

/** Takes out of a connection string what the driver would put in the place of our own: `options` and the encoding. */
function withoutSession(databaseUrl: string): { url: string; options: string } {
  const url = new URL(databaseUrl);
  const options = url.searchParams.getAll("options").join(" ");
  url.searchParams.delete("options");
  url.searchParams.delete("client_encoding");
  return { url: url.href, options };
}

function flags(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(" ", "\\ ")}`)
    .join(" ");
}
