import { userInfo, hostname } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { loadConfig, type Config } from "../config.ts";
import { EXIT, isConnectionLoss, OperatorError, UsageError } from "../errors.ts";
import { createLogger, type Logger } from "../log.ts";
import type { Services } from "../services.ts";
import { addDays, countDays, isDay, type Day } from "../usage/day.ts";
import { tenantFault } from "../usage/event.ts";
import { Deadline } from "./deadline.ts";
import { stackLines, type Lines } from "./lines.ts";
import { complain, print, printJson, tell } from "./terminal.ts";

/** The longest range that one run may cover. */
const MAX_DAYS = 3_660;

/** What every command receives. */
export interface CommandContext {
  readonly config: Config;
  readonly services: Services;
  readonly log: Logger;
  /** true = the answer is one JSON document on standard output, and text for people goes to standard error */
  readonly json: boolean;
  /** aborts on Ctrl-C or SIGTERM; a second signal ends the process at once, and so does its deadline */
  readonly signal: AbortSignal;
  readonly deadline: Deadline;
  /** prints the answer: `data` with --json, else the text, a line a string */
  readonly answer: (data: unknown, text: string | Lines) => void;
}

interface CommonOptions {
  readonly json?: true;
}

/** A command with what all commands share: --json, and an example under its help. */
export function createCommand(name: string, description: string, example: string): Command {
  return new Command(name)
    .description(description)
    .option("--json", "print one JSON document on standard output")
    .addHelpText("after", exampleText(example));
}

/** A command that only groups others. */
export function createGroup(name: string, description: string, example: string, members: readonly Command[]): Command {
  const group = new Command(name).description(description).addHelpText("after", exampleText(example));
  for (const member of members) group.addCommand(member);
  return group;
}

/** The example under a command's help. */
export function exampleText(example: string): string {
  return `\nExample:\n${example.replace(/^/gm, "  ")}`;
}

/**
 * Wraps a command's work: loads the settings, opens the services and listens to signals before it; closes everything
 * after it, and sets the exit code that the work returned (0 if none) or that its error carries.
 */
export function action<Options extends object>(
  work: (options: Options, context: CommandContext) => Promise<number | undefined>,
): (options: Options & CommonOptions) => Promise<void> {
  return async (options) => {
    const interrupted = new AbortController();
    const deadline = new Deadline();
    const onSignal = (name: NodeJS.Signals) => {
      if (interrupted.signal.aborted) process.exit(EXIT.interrupted);
      deadline.stopWith(EXIT.interrupted);
      interrupted.abort(new Error(`interrupted by ${name}`));
    };
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
    let services: Services | undefined;
    try {
      const config = loadConfig();
      const log = createLogger(config.logLevel);
      const { Services } = await import("../services.ts"); // the drivers are slow to load; --help needs none
      services = new Services(config, log);
      const json = options.json === true;
      const answer = (data: unknown, text: string | Lines) => (json ? printJson(data) : print(text));
      process.exitCode =
        (await work(options, { config, services, log, json, answer, signal: interrupted.signal, deadline })) ??
        EXIT.done;
    } catch (error) {
      process.exitCode = report(error, services?.config.logLevel);
    } finally {
      deadline.closing();
      await services?.close().catch(() => undefined);
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    }
  };
}

/**
 * Prints an error's message. LOG_LEVEL=debug adds the stack, except for errors written for operators.
 * @returns the exit code
 */
function report(error: unknown, logLevel: Config["logLevel"] | undefined): number {
  if (error instanceof OperatorError) {
    complain(error.lines);
    return error.exitCode;
  }
  complain((error as Error).message);
  if (logLevel === "debug" || logLevel === "trace") tell(stackLines(error as Error));
  return isConnectionLoss(error) ? EXIT.unreachable : EXIT.failed;
}

/** Parses a day of a flag. */
export function parseDay(text: string): Day {
  if (!isDay(text)) throw new InvalidArgumentError("It must be an existing day, as YYYY-MM-DD.");
  return text;
}

/** Parses a tenant's id of a flag. */
export function parseTenant(text: string, where = ""): string {
  const fault = tenantFault(text);
  if (fault) throw new InvalidArgumentError(`A tenant's id ${where}${fault}.`);
  return text;
}

/** Collects a repeatable --tenant. */
export function collectTenant(text: string, before: readonly string[] = []): string[] {
  return [...before, parseTenant(text)];
}

/** Parses the id of a run. */
export function parseRunId(text: string): string {
  if (!z.uuid().safeParse(text).success)
    throw new InvalidArgumentError("It must be a run's id, as tallyman runs list prints it.");
  return text;
}

/** Parses a whole number of a flag, from 1. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}

/** @throws UsageError for a range that ends before it begins, is too long, or reaches into the future */
export function checkRange(from: Day, to: Day, today: Day): void {
  const days = countDays(from, to);
  if (days < 1) throw new UsageError(`--to ${to} is before --from ${from}. Swap them.`);
  if (to > today)
    throw new UsageError(`--to ${to} is in the future. The last day that can be rebuilt is today, ${today}.`);
  if (days > MAX_DAYS) {
    throw new UsageError(
      `--from ${from} --to ${to} are ${days} days; one run covers at most ${MAX_DAYS}. Begin at ${addDays(to, 1 - MAX_DAYS)}, then run the command again for the rest.`,
    );
  }
}

/** The requester where --by is not given. */
export function defaultRequester(): string {
  return `${userInfo().username}@${hostname()}`;
}
