import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { UsageError } from "./errors.ts";
import { redact } from "./redact.ts";
import {
  anyInteger,
  connection,
  cron,
  integer,
  parseFields,
  sentinels,
  setting,
  text,
  type Setting,
} from "./setting.ts";
import { isTimeZone } from "./usage/day.ts";

/** All settings. The type of the configuration, its checks and its reference page derive from this table. */
export const SETTINGS = {
  mongodbUri: connection(
    "MONGODB_URI",
    "MongoDB with the events; the database is its path.",
    ["mongodb", "mongodb+srv"],
    "mongodb://host:27017/metering",
  ),
  mongodbAdminUri: connection(
    "MONGODB_ADMIN_URI",
    "Connection string for index work, if that has a role of its own; default MONGODB_URI.",
    ["mongodb", "mongodb+srv"],
    "mongodb://host:27017/metering",
  ),
  eventsCollection: setting(
    "EVENTS_COLLECTION",
    "Collection of the events.",
    text(/^[^$\0]+$/, "the name of a collection").prefault("token_usage_events"),
  ),
  eventsFields: setting(
    "EVENTS_FIELDS",
    'Field names that differ from the default ones, as JSON: `{"tenant_id":"tenantId"}`.',
    z.string().prefault("{}").transform(parseFields),
  ),
  redisUrl: connection(
    "REDIS_URL",
    "Redis that carries the queue; its policy must be noeviction.",
    ["redis", "rediss"],
    "redis://host:6379",
  ),
  redisSentinels: {
    ...setting(
      "REDIS_SENTINELS",
      "Sentinels that know the primary: `host:26379`, or a connection string with its own password, separated by commas. User, password and database of the primary come from REDIS_URL.",
      sentinels,
    ),
    secret: true,
  },
  redisSentinelName: setting(
    "REDIS_SENTINEL_NAME",
    "Name of the primary at the Sentinels.",
    text(/^\S+$/, "a name without spaces").prefault("mymaster"),
  ),
  databaseUrl: connection(
    "DATABASE_URL",
    "PostgreSQL with the cache; no transaction pooler in front of it.",
    ["postgres", "postgresql"],
    "postgres://user@host:5432/usage",
  ),
  databaseAdminUrl: connection(
    "DATABASE_ADMIN_URL",
    "Connection string for migrations and index work, if they have a role of their own; default DATABASE_URL.",
    ["postgres", "postgresql"],
    "postgres://user@host:5432/usage",
  ),
  timeZone: setting(
    "USAGE_TIMEZONE",
    "Reporting time zone (IANA) that decides where a day begins.",
    z
      .string()
      .refine(isTimeZone, { error: 'must be an IANA time zone, such as "UTC" or "Europe/Berlin"' })
      .prefault("UTC"),
  ),
  nightlyCron: setting("NIGHTLY_CRON", "When the nightly rebuild is due, in UTC.", cron.prefault("15 2 * * *")),
  nightlyDays: setting("NIGHTLY_DAYS", "Days before today that the nightly rebuild covers.", integer(1, 3_660, 3)),
  refreshSeconds: setting("REFRESH_SECONDS", "Seconds between two searches for new events.", integer(1, 86_400, 300)),
  refreshDelaySeconds: setting(
    "REFRESH_DELAY_SECONDS",
    "Seconds by which the watermark of arrivals stays behind the clock.",
    integer(0, 3_600, 10),
  ),
  refreshOverlapSeconds: setting(
    "REFRESH_OVERLAP_SECONDS",
    "Seconds before the watermark that are searched again; an event stored later than this after its `_id` was made waits for the nightly rebuild or a backfill.",
    integer(0, 604_800, 900),
  ),
  settleHours: setting("SETTLE_HOURS", "Hours after the end of a day until it is final.", integer(0, 8_760, 48)),
  eventsRetentionDays: setting(
    "EVENTS_RETENTION_DAYS",
    "Days after which an event may be deleted from MongoDB, if no TTL index on its time says so.",
    anyInteger(1, 36_500).optional(),
  ),
  undoRetentionDays: setting(
    "UNDO_RETENTION_DAYS",
    "Days after the end of a backfill for which it can be undone; at most as long as the history.",
    integer(1, 36_500, 14),
  ),
  historyRetentionDays: setting(
    "HISTORY_RETENTION_DAYS",
    "Days for which changes, finished runs and audits are kept.",
    integer(1, 36_500, 400),
  ),
  auditCron: setting("AUDIT_CRON", "When a sample of final days is audited, in UTC.", cron.prefault("45 4 * * *")),
  indexesCron: setting("INDEXES_CRON", "When the declared indexes are ensured, in UTC.", cron.prefault("30 3 * * *")),
  workerConcurrency: setting("WORKER_CONCURRENCY", "Chunks that one process works on at a time.", integer(1, 64, 2)),
  mongodbConcurrency: setting(
    "MONGODB_CONCURRENCY",
    "Aggregations on MongoDB at a time, in all processes together.",
    integer(1, 64, 4),
  ),
  maxKeys: setting(
    "MAX_KEYS",
    "Keys of one dimension in a row; further keys are folded, exactly, into `__other__`.",
    integer(2, 1_000_000, 50_000),
  ),
  maxRawRows: setting(
    "MAX_RAW_ROWS",
    "Rows of the finest grain in `raw_data`; if there are more, all are omitted.",
    integer(0, 1_000_000, 200_000),
  ),
  queuePrefix: setting(
    "QUEUE_PREFIX",
    "Prefix of every key in Redis. In a Redis Cluster it is put in braces, unless a part of it is, which keeps all keys on one node.",
    text(
      /^(?=.)[\w.-]*(\{[\w.-]+\})?[\w.-]*$/,
      "letters, digits, dots, dashes or underscores, a part of them in braces",
    ).prefault("tallyman"),
  ),
  httpHost: setting(
    "HTTP_HOST",
    "Address that the worker's HTTP server listens on.",
    text(/^\S+$/, "an address or a host name").prefault("127.0.0.1"),
  ),
  httpPort: setting("HTTP_PORT", "Port of that server; 0 takes any free one.", integer(0, 65_535, 9_464)),
  logLevel: setting(
    "LOG_LEVEL",
    "Lowest level that is logged.",
    z
      .enum(["trace", "debug", "info", "warn", "error", "silent"], {
        error: "must be trace, debug, info, warn, error or silent",
      })
      .prefault("info"),
  ),
} satisfies Record<string, Setting<z.ZodType>>;

type SettingName = keyof typeof SETTINGS;

/** The effective settings, checked and frozen. */
export type Config = { readonly [Name in SettingName]: z.output<(typeof SETTINGS)[Name]["schema"]> };

/**
 * Reads every setting from the environment.
 *
 * @throws UsageError that lists every wrong setting at once, each with its name and what it must be
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, { env: variable, schema, secret }] of Object.entries(SETTINGS) as [
    SettingName,
    Setting<z.ZodType>,
  ][]) {
    try {
      const result = schema.safeParse(secret ? readSecret(env, variable) : env[variable] || undefined);
      if (result.success) values[name] = result.data;
      else faults.push(...result.error.issues.map(({ message }) => `${variable} ${message}`));
    } catch (error) {
      faults.push((error as Error).message);
    }
  }
  if (faults.length > 0) throw new UsageError(["Wrong settings:", ...faults.map((fault) => `  ${fault}`)]);
  return Object.freeze(values) as Config;
}

/** A connection string. @throws UsageError that names the setting if it is not set */
export function requireConnection(config: Config, name: "mongodbUri" | "redisUrl" | "databaseUrl"): string {
  const value = config[name];
  if (value !== undefined) return value;
  const { env, doc } = SETTINGS[name];
  throw new UsageError(`${env} is not set. ${doc} Set ${env}, or ${env}_FILE to a file that holds it.`);
}

/** Where Redis is. @throws UsageError if REDIS_URL is not set */
export function redisAddress(config: Config) {
  const { redisSentinels: sentinels, redisSentinelName: sentinelName } = config;
  return { url: requireConnection(config, "redisUrl"), sentinels, sentinelName };
}

/** Every setting with its effective value, passwords masked, for a person. */
export function describeConfig(config: Config): { name: string; value: string; doc: string }[] {
  return (Object.keys(SETTINGS) as SettingName[]).map((name) => {
    const { env, doc, secret } = SETTINGS[name];
    const value = config[name];
    if (value === undefined) return { name: env, value: "", doc };
    const plain = typeof value === "object" ? JSON.stringify(value) : String(value);
    return { name: env, value: secret ? redact(plain) : plain, doc };
  });
}

/** The settings that decide the content of a row, by their environment names, and their hash. */
export interface ComputeSettings {
  readonly hash: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Under other values of these settings a run would write other figures. */
export function computeSettings(config: Config): ComputeSettings {
  const decisive = ["timeZone", "maxKeys", "maxRawRows", "eventsFields"] as const satisfies readonly SettingName[];
  const values = Object.fromEntries(decisive.map((name) => [SETTINGS[name].env, config[name]]));
  return { hash: createHash("sha256").update(JSON.stringify(values)).digest("hex"), values };
}

function readSecret(env: Readonly<Record<string, string | undefined>>, variable: string): string | undefined {
  const file = env[`${variable}_FILE`];
  if (!file) return env[variable] || undefined;
  if (env[variable]) throw new Error(`${variable} and ${variable}_FILE are both set; keep one`);
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new Error(`${variable}_FILE cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
