import { UsageError } from "../../errors.ts";
import type { Connection } from "./pool.ts";
import { QUEUE_OF_RUN } from "./runs/run.ts";
import type { QueueName } from "./session.ts";

/** Condition: the settings that this parameter is the hash of are those of the database. */
export const SETTINGS_AGREED = (hash: `$${number}`): string =>
  `EXISTS (SELECT 1 FROM usage_meta WHERE name = 'settings' AND value->>'hash' = ${hash})`;

/** When the settings in force were put in force: a row that was read before may be of others. */
export const SETTINGS_SINCE =
  "coalesce((SELECT (value->>'since')::timestamptz FROM usage_meta WHERE name = 'settings'), '-infinity')";

/** Condition on a run `r`: the queue that carries it is paused. */
export const QUEUE_PAUSED = `EXISTS (SELECT 1 FROM usage_meta WHERE name = 'paused'
  AND value ? ${QUEUE_OF_RUN})`;

/** The settings that decide what a row holds, by their environment names, and a hash that tells them apart. */
export interface AgreedSettings {
  readonly hash: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/**
 * Holds a process to the settings that the rows were computed by: the first process ever writes its own, every other
 * is compared with them.
 *
 * @throws UsageError that names each setting that differs, with both values
 */
export async function agreeOnSettings(connection: Connection, { hash, values }: AgreedSettings): Promise<void> {
  await connection.query(
    "INSERT INTO usage_meta (name, value) VALUES ('settings', $1::jsonb) ON CONFLICT (name) DO NOTHING",
    [JSON.stringify({ hash, values })],
  );
  const stored = await readSettings(connection);
  if (stored?.hash === hash) return;
  throw new UsageError(
    `The rows were computed under other settings than this process has:\n${differences(stored?.values ?? {}, values)}\n` +
      "Set them as they were, or change them for good, which rebuilds every row: tallyman migrate settings --yes",
  );
}

/** The settings in force, or undefined before the first process. */
export async function readSettings(connection: Connection): Promise<AgreedSettings | undefined> {
  const { rows } = await connection.query<{ value: AgreedSettings }>(
    "SELECT value FROM usage_meta WHERE name = 'settings'",
  );
  return rows[0]?.value;
}

/** One line for each setting that differs. */
export function differences(stored: Readonly<Record<string, unknown>>, own: Readonly<Record<string, unknown>>): string {
  return [...new Set([...Object.keys(stored), ...Object.keys(own)])]
    .filter((name) => text(stored[name]) !== text(own[name]))
    .map((name) => `  ${name} was ${text(stored[name])}, and is ${text(own[name])} here`)
    .join("\n");
}

/** JSON whose keys have one order, as jsonb has not kept ours. */
function text(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "not set";
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** The queues that are paused. */
export async function pausedQueues(connection: Connection): Promise<Set<QueueName>> {
  const { rows } = await connection.query<{ value: QueueName[] }>("SELECT value FROM usage_meta WHERE name = 'paused'");
  return new Set(rows[0]?.value ?? []);
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
