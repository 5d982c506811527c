/** The reason of a signal that aborted because the time limit was used up, rather than because of a shutdown. */
export class TimeLimitError extends Error {
  override readonly name = "TimeLimitError";
}

/** Did the signal abort because the process stops? Then work goes back without an attempt spent. */
export function isShutdown({ aborted, reason }: { readonly aborted: boolean; readonly reason: unknown }): boolean {
  return aborted && !(reason instanceof TimeLimitError);
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A time limit whose clock stops while the work waits for something that does not count. */
export class TimeLimit {
  readonly #controller = new AbortController();
  #left: number;
  #since = 0;
  #waiting = 0;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;

  /** No limit: an operator waits for the work and may interrupt it. */
  static none(): TimeLimit {
    return new TimeLimit(LONGEST_TIMER_MS);
  }

  constructor(ms: number) {
    this.#left = ms;
    this.#run();
  }

  /** Aborts when the limit is used up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Runs `wait` off the clock. */
  async without<T>(wait: () => Promise<T>): Promise<T> {
    if (this.#waiting++ === 0) this.#pause();
    try {
      return await wait();
    } finally {
      if (--this.#waiting === 0 && !this.#isOver) this.#run();
    }
  }

  /** Stops the clock for good, without an abort. */
  stop(): void {
    this.#isOver = true;
    this.#pause();
  }

  #pause(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#left -= Date.now() - this.#since;
  }

  #run(): void {
    this.#since = Date.now();
    this.#timer = setTimeout(
      () => this.#controller.abort(new TimeLimitError("the job's time limit is used up")),
      Math.max(0, this.#left),
    );
    this.#timer.unref();
  }
}
