import type { Day } from "../../usage/day.ts";
import type { Stamp } from "../../usage/stamp.ts";
import type { Connection } from "./pool.ts";
import type { QueueName } from "./session.ts";

/** The settings that decide what a row holds, by their environment names, and a hash that tells them apart. */
export interface AgreedSettings {
  readonly hash: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** What all processes share: one JSON value a name, in the table usage_meta, which this file alone speaks to. */
export interface Meta {
  /** the settings that the rows were computed by, and since when; the first process ever did not say when */
  readonly settings: AgreedSettings & { readonly since?: string };
  /** the queues of which nothing is begun */
  readonly paused: readonly QueueName[];
  /** every event that arrived before was looked at */
  readonly arrivals: { readonly through: Stamp };
  /** a type other than ObjectId that ids of events were found to have */
  readonly arrival_ids: { readonly type: string };
  /** the last day through which a nightly rebuild has ended */
  readonly nightly: { readonly through: Day };
  /** the highest id of a change that was removed */
  readonly changes_trimmed: { readonly through: number };
}

type MetaName = keyof Meta;

/** Names whose value is a mark that only moves forward, and the SQL type by which marks are compared. */
const MARKS = { nightly: "date", changes_trimmed: "bigint" } as const satisfies Partial<Record<MetaName, string>>;

export async function readMeta<N extends MetaName>(connection: Connection, name: N): Promise<Meta[N] | undefined> {
  const { rows } = await connection.query<{ value: Meta[N] }>("SELECT value FROM usage_meta WHERE name = $1", [name]);
  return rows[0]?.value;
}

/** Writes a value where there is none. @returns whether there was none */
export async function writeFirst<N extends MetaName>(
  connection: Connection,
  name: N,
  value: Meta[N],
): Promise<boolean> {
  const { rowCount } = await connection.query(
    "INSERT INTO usage_meta (name, value) VALUES ($1, $2::jsonb) ON CONFLICT (name) DO NOTHING",
    [name, JSON.stringify(value)],
  );
  return rowCount === 1;
}

/** Replaces a value, unless another process has replaced it since it was read. @returns whether it was replaced */
export async function replaceMeta<N extends MetaName>(
  connection: Connection,
  name: N,
  read: Meta[N],
  value: Meta[N],
): Promise<boolean> {
  const { rowCount } = await connection.query(
    "UPDATE usage_meta SET value = $3::jsonb WHERE name = $1 AND value @> $2::jsonb", // a later version may know more
    [name, JSON.stringify(read), JSON.stringify(value)],
  );
  return rowCount === 1;
}

/** Statement, or part of one, that moves a mark to what `select` answers as \`through\`, and never back. */
export const moveMark = (name: keyof typeof MARKS, select: string): string =>
  `INSERT INTO usage_meta AS m (name, value)
   SELECT '${name}', jsonb_build_object('through', through) FROM (${select}) AS moved
   ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value
    WHERE (m.value ->> 'through')::${MARKS[name]} < (EXCLUDED.value ->> 'through')::${MARKS[name]}`;

/** Puts settings in force from now on. */
export async function writeSettings(connection: Connection, settings: AgreedSettings): Promise<void> {
  await connection.query(
    `INSERT INTO usage_meta (name, value)
     VALUES ('settings', $1::jsonb || jsonb_build_object('since', clock_timestamp()))
     ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value`,
    [JSON.stringify(settings)],
  );
}

/** Keeps every run from being inserted until the transaction ends. */
export async function lockSettings(connection: Connection): Promise<void> {
  await connection.query("SELECT 1 FROM usage_meta WHERE name = 'settings' FOR UPDATE");
}

/** Condition: the settings of the hash are those in force. @param hash an SQL expression, such as $2 */
export const settingsAgreed = (hash: string): string =>
  `EXISTS (SELECT 1 FROM usage_meta WHERE name = 'settings' AND value ->> 'hash' = ${hash})`;

/** One row where the settings of the hash are those in force, which then stay so until the transaction ends. */
export const heldSettings = (hash: string): string =>
  `SELECT 1 FROM usage_meta WHERE name = 'settings' AND value ->> 'hash' = ${hash} FOR SHARE`;

/** When the settings in force were put in force: a row that was read before may be of others. */
export const SETTINGS_SINCE =
  "coalesce((SELECT (value ->> 'since')::timestamptz FROM usage_meta WHERE name = 'settings'), '-infinity')";

/** Condition: a queue is paused. @param queue an SQL expression for its name */
export const queuePaused = (queue: string): string =>
  `EXISTS (SELECT 1 FROM usage_meta WHERE name = 'paused' AND value ? ${queue})`;

/** The queues that are paused. */
export async function pausedQueues(connection: Connection): Promise<Set<QueueName>> {
  return new Set(await readMeta(connection, "paused"));
}

/** Pauses queues, or lets them go on, whatever Redis knows. @returns the queues that are paused now */
export async function setPaused(
  connection: Connection,
  queues: readonly QueueName[],
  paused: boolean,
): Promise<Set<QueueName>> {
  const { rows } = await connection.query<{ value: QueueName[] }>(
    `INSERT INTO usage_meta AS m (name, value)
     VALUES ('paused', CASE WHEN $2 THEN to_jsonb($1::text[]) ELSE '[]'::jsonb END)
     ON CONFLICT (name) DO UPDATE SET value = (
       SELECT coalesce(jsonb_agg(DISTINCT queue ORDER BY queue), '[]')
         FROM (SELECT jsonb_array_elements_text(m.value) EXCEPT SELECT unnest($1::text[])
               UNION SELECT unnest($1::text[]) WHERE $2) AS l (queue))
     RETURNING value`,
    [queues, paused],
  );
  return new Set(rows[0]?.value ?? []);
}
