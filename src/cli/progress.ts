import type { Run } from "../db/postgres/runs/run.ts";
import { erase, isTerminal, redraw, tell } from "./terminal.ts";

const WIDTH = 30;
/** Without a terminal, a line is printed this often. */
const LINE_EVERY_MS = 15_000;

/** A progress bar on standard error; without a terminal, a line from time to time. */
export class Bar {
  #lastLine = Date.now();

  /** @param share how much is done, from 0 to 1 */
  show(share: number, what: string): void {
    if (isTerminal()) {
      const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "░");
      redraw(`${bar} ${Math.floor(share * 100)}% ${what}`);
    } else if (Date.now() - this.#lastLine >= LINE_EVERY_MS) {
      this.#lastLine = Date.now();
      tell(`${Math.floor(share * 100)}% ${what}`);
    }
  }

  /** Clears the bar. */
  end(): void {
    if (isTerminal()) erase();
  }
}

/** The progress of a run, with its pace and the time left, both measured since the watch began. */
export class Progress {
  readonly #bar = new Bar();
  #first: { readonly at: number; readonly ended: number; readonly events: number } | undefined;

  show(run: Run): void {
    const { chunks, days } = run;
    if (run.state === "planned") return this.#bar.show(0, "planning");
    const ended = daysEnded(run);
    const now = Date.now();
    this.#first ??= { at: now, ended, events: run.sourceEvents };
    const seconds = (now - this.#first.at) / 1_000;
    const parts = [`${chunks.done + chunks.failed}/${chunks.planned} chunks`, `${ended}/${days.planned} tenant-days`];
    if (seconds > 0 && ended > this.#first.ended) {
      const eventPace = Math.round((run.sourceEvents - this.#first.events) / seconds);
      const left = ((days.planned - ended) * seconds) / (ended - this.#first.ended);
      parts.push(`${eventPace.toLocaleString("en")} events/s`, `${duration(left)} left`);
    }
    this.#bar.show(days.planned === 0 ? 1 : ended / days.planned, parts.join(", "));
  }

  /** Clears the line. */
  end(): void {
    this.#bar.end();
  }
}

/** Tenant-days of which the outcome is known. */
export function daysEnded({ days }: Run): number {
  return days.written + days.unchanged + days.stale + days.refused + days.failed;
}

function duration(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  if (seconds < 6_000) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
