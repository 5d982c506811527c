import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { action, createCommand } from "../command.ts";
import { table } from "../table.ts";
import { tell, withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";

interface EnsureFlags extends IndexFlags {
  readonly allowBlocking?: true;
}

/** `indexes ensure`: creates the declared indexes that are missing, in both databases. */
export function ensureCommand(): Command {
  const command = createCommand(
    "ensure",
    "Create the declared indexes that are missing, online.",
    "tallyman indexes ensure --engine postgres",
  );
  return withIndexFlags(command)
    .option("--allow-blocking", "build also where the server blocks writers meanwhile (FerretDB)")
    .action(
      action<EnsureFlags>(async (flags, context) => {
        const { signal, answer } = context;
        const { ensureIndexes } = await import("../../indexes/ensure.ts");
        const report = await withIndexes(context, flags, (targets) =>
          ensureIndexes({ ...targets, signal, allowBlocking: flags.allowBlocking === true, onProgress: tell }),
        );
        const rows = report.entries.map(({ engine, target, name, action: what, detail }) => [
          engine,
          target,
          name,
          what,
          detail ?? null,
        ]);
        const created = report.entries.filter(
          (entry) => entry.action === "created" || entry.action === "repaired",
        ).length;
        const wanting = report.entries.filter((entry) =>
          ["refused", "different", "failed"].includes(entry.action),
        ).length;
        if (report.entries.some((entry) => entry.action === "refused")) {
          tell("To build what was refused, in a quiet hour: tallyman indexes ensure --allow-blocking");
        }
        const summary = `${report.entries.length} declared, ${created} created or repaired, ${wanting} not as declared.`;
        answer(report, `${table(["engine", "of", "index", "is", "why"], rows)}\n${summary}`);
        return report.ok ? EXIT.done : EXIT.failed;
      }),
    );
}
