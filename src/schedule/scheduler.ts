import { schedule as scheduleCron, type ScheduledTask } from "node-cron";
import type { Logger } from "../log.ts";
import { slotOf, type Schedule, type TickActions } from "./schedules.ts";

/** A tick that fails, as when a server is away, is tried again for this long. */
const RETRY = { times: 20, pauseMs: 15_000 };

/** Fires schedules in this process. Every replica may: the slot's name makes one run of them. */
export class Scheduler {
  readonly #schedules: readonly Schedule[];
  readonly #actions: TickActions;
  readonly #log: Logger;
  readonly #retry: typeof RETRY;
  readonly #stopped = new AbortController();
  #tasks: ScheduledTask[] = [];

  constructor(schedules: readonly Schedule[], actions: TickActions, log: Logger, retry = RETRY) {
    this.#schedules = schedules;
    this.#actions = actions;
    this.#log = log;
    this.#retry = retry;
  }

  start(): void {
    this.#tasks = this.#schedules.map((entry) =>
      scheduleCron(entry.cron, ({ date }) => this.fire(entry, slotOf(date)), { timezone: "UTC", name: entry.name }),
    );
  }

  /** Fires one slot; what goes wrong is logged and tried again. */
  async fire(entry: Schedule, slot: string): Promise<void> {
    for (let attempt = 1; attempt <= this.#retry.times && !this.#stopped.signal.aborted; attempt++) {
      try {
        await entry.tick(slot, this.#actions);
        this.#log.info({ schedule: entry.name, slot }, "schedule fired");
        return;
      } catch (err) {
        this.#log.error({ schedule: entry.name, slot, attempt, err }, "schedule failed");
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, this.#retry.pauseMs);
          this.#stopped.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
        });
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const task of this.#tasks) await task.destroy();
  }
}
