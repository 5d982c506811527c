/**
 * `npm run demo`: the whole system on this machine, with 90 days of sample events. Starts the servers, finishes one
 * backfill, prints the cache, and stays up until a signal.
 */
import { once } from "node:events";
import { Command } from "commander";
import { startWorker, type WorkerApp } from "../src/app.ts";
import { watchRun } from "../src/cli/watch.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import type { Run } from "../src/db/postgres/runs/run.ts";
import { EXIT, OperatorError, WorkFailedError } from "../src/errors.ts";
import { addDays, type Day } from "../src/usage/day.ts";
import { compareWithCache } from "./demo/check.ts";
import { insertEvents, type Inserted } from "./demo/insert-events.ts";
import { heading, passing, say, wrapped } from "./demo/print.ts";
import { printReport } from "./demo/report.ts";
import { eventsInDays, sampleEvents } from "./demo/sample-events.ts";
import { Steps } from "./demo/steps.ts";
import { printWhatToTry } from "./demo/try-it.ts";
import { createWorld, type World } from "./demo/world.ts";
import { startServers } from "./servers.ts";

const DAYS = 90;
/** Deadline for cleaning up; the guard of the servers does the rest. */
const STOP_DEADLINE_MS = 25_000;
/** After a signal, a step has this long to reach a point where it can stop. */
const STEP_END_MS = 5_000;

/** One Ctrl-C comes twice, from the terminal and from npm; only a later one means "now". */
const REPEAT_MS = 1_000;

/** The clean-up actions, in the order of the steps that they undo. */
type Undo = { readonly what: string; readonly undo: () => Promise<void> }[];

await new Command("npm run demo --")
  .description("Run the whole system on this machine, with 90 days of sample events.")
  .option("--once", "end when all is done and printed, instead of staying up; 0 when every total is right")
  .allowExcessArguments(false)
  .showHelpAfterError("(run with --help for usage)")
  .addHelpText(
    "after",
    `
MONGODB_URI, REDIS_URL and DATABASE_URL, where set, name servers to use instead of starting some; the demo
makes databases of its own there and drops them at the end. LOG_LEVEL is "warn" unless set.`,
  )
  .action(main)
  .parseAsync();

async function main(options: { once?: true }): Promise<void> {
  const stop = new AbortController();
  let stoppedAt = 0;
  const onSignal = () => {
    if (stop.signal.aborted && Date.now() - stoppedAt > REPEAT_MS) process.exit(EXIT.interrupted);
    if (stop.signal.aborted) return;
    stoppedAt = Date.now();
    stop.abort();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);

  const undo: Undo = [];
  const work = demo(options.once === true, stop.signal, undo);
  let code: number = EXIT.done;
  try {
    await Promise.race([work, stop.signal.aborted ? undefined : once(stop.signal, "abort")]);
    if (stop.signal.aborted && undo.length > 0) {
      passing();
      say("\nstopping");
      await Promise.race([work, new Promise((resolve) => setTimeout(resolve, STEP_END_MS))]);
    }
  } catch (error) {
    code = stop.signal.aborted ? EXIT.done : complain(error);
  }
  work.catch(() => undefined); // it was interrupted, and its servers stop now
  setTimeout(() => process.exit(complain(new Error("not everything stopped in time"))), STOP_DEADLINE_MS);
  for (const { what, undo: step } of undo.reverse()) {
    await step().catch((error: unknown) => {
      code = complain(new Error(`${what}: ${(error as Error).message}`));
    });
  }
  process.exit(code);
}

/** @returns the exit code */
function complain(error: unknown): number {
  passing();
  process.stderr.write(`demo: ${(error as Error).message}\n`);
  return error instanceof OperatorError ? error.exitCode : EXIT.failed;
}

async function demo(isOnce: boolean, signal: AbortSignal, undo: Undo): Promise<void> {
  const steps = new Steps();
  heading("Servers");
  const print = (line: string) => say(wrapped(line, "  "));
  const servers = await steps.take("servers", () => startServers({ print }));
  undo.push({ what: "the servers", undo: () => servers.stop() });

  heading("Tables, indexes, events");
  const world = await steps.take(
    "databases",
    () => createWorld(servers),
    ({ env }) => env.QUEUE_PREFIX,
  );
  undo.push({ what: "the databases", undo: () => world.end() });
  signal.throwIfAborted();
  const { services } = world;
  const count = (n: number) => n.toLocaleString("en");
  await steps.take(
    "migrations",
    () => migrate(world.env.DATABASE_URL, "up"),
    (names) => `${names.length} applied`,
  );
  await steps.take(
    "indexes",
    () => ensureIndexes(world, signal),
    (created) => `${created} created, in both databases`,
  );
  const to = services.today();
  const from = addDays(to, 1 - DAYS);
  const inserted = await steps.take(
    "events",
    () => insertSample(world, from, to, signal),
    ({ documents, late, invisible }, seconds) =>
      `${count(documents)} inserted, ${count(Math.round(documents / seconds))} a second; ` +
      `${count(late)} arrived late, ${invisible} belong to no day`,
  );

  heading("Rebuild");
  const worker = await steps.take(
    "worker",
    () => startWorker(services),
    ({ address }) => `started, in this process, at ${address}`,
  );
  undo.push({ what: "the worker", undo: () => worker.stop() });
  signal.throwIfAborted();
  await steps.take(
    "backfill",
    () => backfill(world, from, to, signal),
    ({ days, sourceEvents }, seconds) =>
      `${count(days.planned)} tenant-days from ${count(sourceEvents)} events, ` +
      `${count(Math.round(sourceEvents / seconds))} a second`,
  );

  const pool = await services.pool();
  await printReport(pool, from, to);
  const differences = await compareWithCache(pool, inserted.tenants, from, to);
  if (differences.length > 0) throw new WorkFailedError(`the cache is wrong:\n  ${differences.join("\n  ")}`);
  heading(`Every total is right: events, malformed events, tokens and cost of ${inserted.tenants.size} tenants.`);
  steps.print();
  if (isOnce) return;
  printWhatToTry(world, worker.address, to);
  await untilStopped(worker, signal);
}

/** Before there is any data, so that the builds take no time. */
async function ensureIndexes({ services }: World, signal: AbortSignal): Promise<number> {
  const { ok, entries } = await services.keeper.ensure({ signal, allowBlocking: true });
  if (ok) return entries.filter(({ action }) => action === "created").length;
  const wanting = entries.filter(({ detail }) => detail !== undefined);
  throw new WorkFailedError(wanting.map(({ name, action, detail }) => `index ${name} ${action}: ${detail}`).join("\n"));
}

async function insertSample({ services }: World, from: Day, to: Day, signal: AbortSignal): Promise<Inserted> {
  const { db } = await services.source();
  const collection = db.collection(services.config.eventsCollection);
  const sample = sampleEvents(from, to, Date.now(), services.config.timeZone);
  const about = eventsInDays(DAYS).toLocaleString("en");
  const onBatch = (done: number) => passing(`  ${done.toLocaleString("en")} of about ${about} events`);
  const inserted = await insertEvents(collection, sample, signal, onBatch);
  passing();
  signal.throwIfAborted();
  return inserted;
}

/** Requests the run as `tallyman backfill` does, and follows it to its end. */
async function backfill({ services }: World, from: Day, to: Day, signal: AbortSignal): Promise<Run> {
  const queues = await services.queues();
  const runs = await services.runs();
  const { id } = await runs.create({ kind: "backfill", from, to, requestedBy: "demo" });
  await queues.dispatch(await services.due());
  const run = await watchRun(runs, id, signal, () => undefined);
  signal.throwIfAborted();
  if (run.state === "done") return run;
  const problems = (await runs.problems(id)).flatMap(({ error, failedDays }) => [
    ...(error === null ? [] : [error]),
    ...failedDays.map((day) => `${day.tenant} ${day.date}: ${day.error}`),
  ]);
  throw new WorkFailedError([`the run ended ${run.state}: ${run.error}`, ...problems.slice(0, 10)].join("\n  "));
}

async function untilStopped(worker: WorkerApp, signal: AbortSignal): Promise<void> {
  const ended = AbortSignal.any([signal, worker.lost]);
  if (!ended.aborted) await once(ended, "abort");
  if (!signal.aborted) throw worker.lost.reason;
}
