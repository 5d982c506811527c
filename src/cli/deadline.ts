/** A process that is asked to stop ends within this time: a server that says nothing may keep its work from ending. */
const STOP_MS = 25_000;
/** A command that is done closes its connections within this time. */
const CLOSE_MS = 5_000;

/** Ends the process at a time by which it should have ended by itself. It keeps no process running. */
export class Deadline {
  #code = 0;
  #onLate: () => void = () => undefined;
  #isStopping = false;

  /**
   * The process was asked to stop. A later call does not move the deadline.
   *
   * @param code the exit code if it does not end in time
   * @param onLate called before that
   */
  stopWith(code: number, onLate: () => void = () => undefined): void {
    this.#code = code;
    this.#onLate = onLate;
    if (this.#isStopping) return;
    this.#isStopping = true;
    setTimeout(() => {
      this.#onLate();
      process.exit(this.#code);
    }, STOP_MS).unref();
  }

  /** The work is done and its result is printed. */
  closing(): void {
    setTimeout(() => process.exit(), CLOSE_MS).unref();
  }
}
