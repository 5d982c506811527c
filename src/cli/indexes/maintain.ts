import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { formatBytes, maintainIndexes } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import { table } from "../table.ts";
import { tell } from "../terminal.ts";
import { withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";

interface MaintainFlags extends IndexFlags {
  readonly dryRun?: true;
  readonly index?: string;
  readonly compact?: true;
}

/** `indexes maintain`: rebuilds bloated indexes online. */
export function maintainCommand(): Command {
  const command = createCommand(
    "maintain",
    "Rebuild bloated PostgreSQL indexes online, and analyze their tables.",
    "tallyman indexes maintain --dry-run",
  );
  return withIndexFlags(command)
    .option("--dry-run", "only show what would be done")
    .option("--index <name>", "rebuild this index, bloated or not")
    .option("--compact", "also run compact on the collections of MongoDB")
    .action(
      action<MaintainFlags>(async ({ dryRun = false, index, compact = false, ...flags }, context) => {
        const { signal, answer } = context;
        const request = { dryRun, compact, ...(index === undefined ? {} : { index }) };
        const report = await withIndexes(context, flags, (targets) =>
          maintainIndexes({ ...targets, ...request, signal, onProgress: tell }),
        );
        const rows = report.entries.map((entry) => [
          entry.engine,
          entry.target,
          entry.name ?? null,
          entry.action,
          entry.state,
          entry.bytesBefore === undefined ? null : formatBytes(entry.bytesBefore),
          entry.bytesAfter === undefined ? null : formatBytes(entry.bytesAfter),
          entry.why,
        ]);
        const count = (wanted: string) => report.entries.filter(({ state }) => state === wanted).length;
        const summary = dryRun
          ? `${count("planned")} to do; nothing was changed.`
          : `${count("done")} done, ${count("failed")} failed, ${count("left")} left as they are.`;
        const head = ["engine", "target", "index", "action", "state", "before", "after", "why"];
        answer(report, [...table(head, rows), summary]);
        return report.ok ? EXIT.done : EXIT.failed;
      }),
    );
}
