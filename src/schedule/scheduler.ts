import { schedule as scheduleCron, type ScheduledTask } from "node-cron";
import type { Logger } from "../log.ts";
import { lastDue } from "./last-due.ts";
import { periodOccurrenceOf, occurrenceOf, type Schedule, type TickActions } from "./schedules.ts";

/** A failed tick is retried like this, for five minutes, for example while a server is away. */
const RETRY = { times: 20, pauseMs: 15_000 };

/** The library's own words, which it would colour and print as they are. */
function plainLogger(log: Logger) {
  const at = (level: "debug" | "info" | "warn" | "error") => (message: string | Error, error?: Error) =>
    log[level]({ err: error ?? (message instanceof Error ? message : undefined) }, String(message));
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Fires schedules in this process. Every replica does: the name of the occurrence makes one run of all their ticks. */
export class Scheduler {
  readonly #schedules: readonly Schedule[];
  readonly #actions: TickActions;
  readonly #log: Logger;
  readonly #retry: typeof RETRY;
  readonly #stopped = new AbortController();
  readonly #underway = new Set<Promise<void>>();
  #tasks: ScheduledTask[] = [];

  constructor(schedules: readonly Schedule[], actions: TickActions, log: Logger, retry = RETRY) {
    this.#schedules = schedules;
    this.#actions = actions;
    this.#log = log;
    this.#retry = retry;
  }

  start(): void {
    for (const entry of this.#schedules) {
      if (entry.every !== undefined) {
        this.#keep(this.#beat(entry, entry.every * 1_000));
        continue;
      }
      const onDue = ({ date }: { date: Date }) => this.#keep(this.fire(entry, occurrenceOf(date)));
      this.#tasks.push(
        scheduleCron(entry.cron, onDue, { timezone: "UTC", name: entry.name, logger: plainLogger(this.#log) }),
      );
      const missed = entry.catchUp ? lastDue(entry.cron, new Date()) : undefined;
      if (missed) this.#keep(this.fire(entry, occurrenceOf(missed)));
    }
  }

  /** Fires one occurrence; logs a failure and tries again. */
  async fire(entry: Schedule, occurrence: string): Promise<void> {
    for (let attempt = 1; attempt <= this.#retry.times && !this.#stopped.signal.aborted; attempt++) {
      try {
        await entry.tick(occurrence, this.#actions);
        // The tick of a period is logged at debug only: its job logs the result.
        this.#log[entry.every === undefined ? "info" : "debug"]({ schedule: entry.name, occurrence }, "schedule fired");
        return;
      } catch (err) {
        this.#log.error({ schedule: entry.name, occurrence, attempt, err }, "schedule failed");
        await this.#pause(this.#retry.pauseMs);
      }
    }
  }

  /** Stops firing, and resolves when the running ticks have ended; a failed one is not tried again. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const task of this.#tasks) await task.destroy();
    await Promise.all(this.#underway);
  }

  /** Fires at whole multiples of the period, one tick after the other. */
  async #beat(entry: Schedule, periodMs: number): Promise<void> {
    for (let last = -1; !this.#stopped.signal.aborted;) {
      let due = (Math.floor(Date.now() / periodMs) + 1) * periodMs;
      if (due === last) due += periodMs; // a timer may go off a little early
      await this.#pause(due - Date.now());
      if (!this.#stopped.signal.aborted) await this.fire(entry, periodOccurrenceOf(new Date(due)));
      last = due;
    }
  }

  /** Ends early when the scheduler stops. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
    });
  }

  #keep(work: Promise<void>): void {
    this.#underway.add(work);
    void work.finally(() => this.#underway.delete(work));
  }
}
