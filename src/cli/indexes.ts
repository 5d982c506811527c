import { InvalidArgumentError, type Command } from "commander";
import { EXIT } from "../errors.ts";
import { action, createCommand, createGroup } from "./command.ts";
import { table } from "./table.ts";

interface EnsureFlags {
  readonly engine?: "mongodb" | "postgres";
  readonly allowBlocking?: true;
}

/** `indexes ensure`: creates the declared indexes that are missing, in both databases. */
export function indexesCommand(): Command {
  const ensure = createCommand(
    "ensure",
    "Create the declared indexes that are missing, online.",
    "tallyman indexes ensure --engine postgres",
  )
    .option("--engine <name>", "only mongodb, or only postgres", parseEngine)
    .option("--allow-blocking", "build also where the server blocks writers meanwhile (FerretDB)")
    .action(
      action<EnsureFlags>(async (options, { services, signal, answer }) => {
        await services.pool();
        const report = await services.ensureIndexes({
          signal,
          allowBlocking: options.allowBlocking === true,
          ...(options.engine ? { engine: options.engine } : {}),
          onProgress: (line) => void process.stderr.write(`${line}\n`),
        });
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
          process.stderr.write(
            "To build what was refused, in a quiet hour: tallyman indexes ensure --allow-blocking\n",
          );
        }
        const summary = `${report.entries.length} declared, ${created} created or repaired, ${wanting} not as declared.`;
        answer(report, `${table(["engine", "of", "index", "is", "why"], rows)}\n${summary}`);
        return report.ok ? EXIT.done : EXIT.failed;
      }),
    );
  const description = "Keep the declared indexes of both databases.";
  return createGroup("indexes", description, "tallyman indexes ensure", [ensure]);
}

function parseEngine(name: string): string {
  if (name === "mongodb" || name === "postgres") return name;
  throw new InvalidArgumentError("It must be mongodb or postgres.");
}
