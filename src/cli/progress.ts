import type { Run } from "../db/postgres/run.ts";

const WIDTH = 30;

/** A run's progress bar on a terminal's standard error; prints nothing where that is no terminal. */
export class Progress {
  readonly #startedAt = Date.now();
  readonly #stream = process.stderr;

  show(run: Run): void {
    if (!this.#stream.isTTY) return;
    const ended = daysEnded(run);
    const share = run.days.planned === 0 ? (run.state === "planned" ? 0 : 1) : ended / run.days.planned;
    const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "░");
    const seconds = (Date.now() - this.#startedAt) / 1_000;
    const rate = Math.round(run.sourceEvents / Math.max(seconds, 0.001)).toLocaleString("en");
    const what = run.state === "planned" ? "planning" : `${ended}/${run.days.planned} tenant-days, ${rate} events/s`;
    this.#stream.write(`\r${bar} ${Math.floor(share * 100)}% ${what}\x1b[K`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write("\r\x1b[K");
  }
}

/** Tenant-days of which the outcome is known. */
export function daysEnded({ days }: Run): number {
  return days.written + days.unchanged + days.stale + days.refused + days.failed;
}
