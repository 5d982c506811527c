import { Command } from "commander";
import { auditCommand } from "./audit.ts";
import { backfillCommand } from "./backfill.ts";
import { exampleText } from "./command.ts";
import { configCommand } from "./config.ts";
import { eraseCommand } from "./erase.ts";
import { indexesCommand } from "./indexes/index.ts";
import { migrateCommand } from "./migrate.ts";
import { queuesCommand } from "./queues.ts";
import { rebuildCommand } from "./rebuild.ts";
import { runsCommand } from "./runs.ts";
import { statusCommand } from "./status.ts";
import { complain } from "./terminal.ts";
import { packageVersion } from "./version.ts";
import { workerCommand } from "./worker.ts";

const EXAMPLE = "tallyman backfill --from 2026-11-01 --to 2026-11-20 --watch";

const EXIT_CODES = `
Exit codes: 0 done; 1 wrong use or configuration; 2 done, and found what was asked about; 3 lock held by another;
4 the work failed or was cancelled; 5 a server could not be reached; 130 a watch was interrupted (the run goes on).
Settings come from the environment; tallyman config shows them.`;

/** The whole command line. A new command is its file and one line here. */
export function createProgram(): Command {
  const program = new Command("tallyman")
    .description("Keeps daily LLM usage totals in PostgreSQL true to the raw events in MongoDB.")
    .version(packageVersion(), "--version", "print the version")
    .addHelpText("after", `${exampleText(EXAMPLE)}\n${EXIT_CODES}`);
  const commands = [
    workerCommand,
    backfillCommand,
    rebuildCommand,
    runsCommand,
    auditCommand,
    queuesCommand,
    statusCommand,
    eraseCommand,
    indexesCommand,
    migrateCommand,
    configCommand,
  ];
  for (const create of commands) program.addCommand(create());
  explainErrors(program, program.name());
  return program;
}

/** A command line that cannot be read is answered in one line: what is wrong, and where help is. */
function explainErrors(command: Command, path: string): void {
  command.configureOutput({
    outputError: (text) => {
      const line = text
        .trim()
        .replace(/^error: /, "")
        .replace(/\s*\n\s*/g, " ")
        .replace(/\.?$/, ".");
      complain(`${line} See: ${path} --help`);
    },
  });
  for (const child of command.commands) explainErrors(child, `${path} ${child.name()}`);
}
