import { UsageError } from "../../errors.ts";
import { readMeta, writeFirst, type AgreedSettings } from "./meta.ts";
import type { Connection } from "./pool.ts";

/**
 * Checks that the rows were computed with the settings of this process; the first process ever stores its own.
 *
 * @throws UsageError that names each setting that differs, with both values
 */
export async function agreeOnSettings(connection: Connection, { hash, values }: AgreedSettings): Promise<void> {
  await writeFirst(connection, "settings", { hash, values });
  const stored = await readMeta(connection, "settings");
  if (stored?.hash === hash) return;
  throw new UsageError([
    "The rows were computed under other settings than this process has:",
    ...differences(stored?.values ?? {}, values),
    "Set them as they were, or change them for good, which rebuilds every row: tallyman migrate settings --yes",
  ]);
}

/** One line for each setting that differs. */
export function differences(
  stored: Readonly<Record<string, unknown>>,
  own: Readonly<Record<string, unknown>>,
): string[] {
  return [...new Set([...Object.keys(stored), ...Object.keys(own)])]
    .filter((name) => text(stored[name]) !== text(own[name]))
    .map((name) => `  ${name} was ${text(stored[name])}, and is ${text(own[name])} here`);
}

/** JSON with sorted keys, since jsonb does not keep their order. */
function text(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "not set";
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}
