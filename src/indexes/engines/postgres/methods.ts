/** The access methods of the server, which extensions add to: an index may be of any of them. */
import { UsageError } from "../../../errors.ts";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import type { IndexSession } from "./session.ts";

/**
 * Refuses methods that the server does not have before any statement of a run.
 *
 * @throws UsageError that names each index of such a method, and the methods that there are
 */
export async function requireMethods(
  session: IndexSession,
  indexes: Readonly<Record<string, readonly PostgresIndex[]>>,
): Promise<void> {
  const wanted = Object.entries(indexes).flatMap(([target, declared]) =>
    declared.flatMap(({ name, method }) => (method === undefined ? [] : [{ place: `${target} ${name}`, method }])),
  );
  if (wanted.length === 0) return;
  const rows = await session.query<{ name: string }>("SELECT amname AS name FROM pg_am WHERE amtype = 'i' ORDER BY 1");
  const present = rows.map(({ name }) => name);
  const missing = wanted.filter(({ method }) => !present.includes(method));
  if (missing.length === 0) return;
  throw new UsageError([
    ...missing.map(({ place, method }) => `${place}: this database has no access method "${method}".`),
    `It has ${present.join(", ")}. Where an extension brings the method, run CREATE EXTENSION first.`,
  ]);
}
