/** Tries on a MongoDB what Tallyman takes for granted of it, and runs the tests that need no other server there. */
import { Command, CommanderError } from "commander";
import { complain, print, printJson, tell } from "../src/cli/terminal.ts";
import { connectMongo } from "../src/db/mongo/client.ts";
import { EXIT, isConnectionLoss, OperatorError, UsageError } from "../src/errors.ts";
import { redact } from "../src/redact.ts";
import { runTests } from "./check-mongodb/integration.ts";
import { exitCodeOf, reportJson, reportLines, type Checked } from "./check-mongodb/report.ts";
import { scratchDatabase } from "./check-mongodb/scratch.ts";
import { serverOf, tryAll } from "./check-mongodb/try-all.ts";

/** One Ctrl-C comes twice, from the terminal and from npm; only a later one means "now". */
const REPEAT_MS = 1_000;

interface Options {
  readonly uri?: string;
  readonly json?: true;
}

const command = new Command("npm run check:mongodb --")
  .description("Try on a MongoDB what Tallyman takes for granted of it.")
  .option("--uri <uri>", "the server, for example mongodb://host:27017; default: MONGODB_URI")
  .option("--json", "print one JSON document on standard output")
  .allowExcessArguments(false)
  .showHelpAfterError("(run with --help for usage)")
  .exitOverride()
  .addHelpText(
    "after",
    `
All work happens in a new database of a random name, tallyman_check_..., which is dropped at the end: also after an
error, and after Ctrl-C, once the tests that run have ended. No other database is read or written. The user needs the
right to create and drop it (readWriteAnyDatabase and dbAdminAnyDatabase), and clusterMonitor. Progress goes to
standard error.

Exit codes: 0 = all holds, or differs as docs/mongodb.md says of this server; 1 = wrong use; 3 = something differs
that is not known, or a test failed; 4 = it broke; 5 = no server answers; 130 = interrupted.

Example:
  npm run check:mongodb -- --uri mongodb://127.0.0.1:27017`,
  );

try {
  command.parse();
  process.exitCode = await main(command.opts<Options>());
} catch (error) {
  process.exitCode = exitCodeOfError(error);
}

async function main({ uri = process.env["MONGODB_URI"], json }: Options): Promise<number> {
  if (!uri) throw new UsageError("No server is named. Give --uri, or set MONGODB_URI.");
  const interrupted = new AbortController();
  let stoppedAt = 0;
  const onSignal = () => {
    if (interrupted.signal.aborted && Date.now() - stoppedAt > REPEAT_MS) process.exit(EXIT.interrupted);
    if (interrupted.signal.aborted) return;
    stoppedAt = Date.now();
    tell(
      "interrupted: waiting for the tests that run, then the database is dropped; press Ctrl-C again to leave it behind",
    );
    interrupted.abort(new OperatorError("interrupted", EXIT.interrupted));
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  const checked = await check(uri, interrupted.signal);
  if (json) printJson(reportJson(checked));
  else print(reportLines(checked));
  return exitCodeOf(checked);
}

async function check(uri: string, signal: AbortSignal): Promise<Checked> {
  const { client } = await connectMongo(uri);
  try {
    const scratch = await scratchDatabase(client);
    try {
      const server = await serverOf(scratch.db);
      tell(`${server.product} at ${redact(uri)}: all work is done in the new database ${scratch.name}`);
      const results = await tryAll(scratch.db, server, ({ id }) => tell(`  trying ${id}`), signal);
      tell("running the tests of test/mongodb there");
      const tests = await runTests(uri, scratch.name, signal);
      return { server, results, tests };
    } finally {
      await scratch.drop();
      tell(`dropped the database ${scratch.name}`);
    }
  } finally {
    await client.close();
  }
}

function exitCodeOfError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.wrongUse;
  complain(error instanceof OperatorError ? error.lines : (error as Error).message);
  if (error instanceof OperatorError) return error.exitCode;
  return isConnectionLoss(error) ? EXIT.unreachable : EXIT.failed;
}
