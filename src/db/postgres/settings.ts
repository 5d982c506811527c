import { UsageError } from "../../errors.ts";
import { readMeta, writeFirst, type AgreedSettings } from "./meta.ts";
import type { Connection } from "./pool.ts";

/**
 * Holds a process to the settings that the rows were computed by: the first process ever writes its own, every other
 * is compared with them.
 *
 * @throws UsageError that names each setting that differs, with both values
 */
export async function agreeOnSettings(connection: Connection, { hash, values }: AgreedSettings): Promise<void> {
  await writeFirst(connection, "settings", { hash, values });
  const stored = await readMeta(connection, "settings");
  if (stored?.hash === hash) return;
  throw new UsageError(
    `The rows were computed under other settings than this process has:\n${differences(stored?.values ?? {}, values)}\n` +
      "Set them as they were, or change them for good, which rebuilds every row: tallyman migrate settings --yes",
  );
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
