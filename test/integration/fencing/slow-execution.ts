import type { JobContext } from "../../../src/task/context.ts";
import type { Services } from "../../../src/services.ts";
import { jobContext } from "../../support/job-context.ts";
import { until } from "../../support/until.ts";

/**
 * One execution of a job in a process that is slow between its reads and its write: from the `nth` on, what it has read
 * reaches it only when the test lets go.
 */
export class SlowExecution {
  readonly context: JobContext;
  #held = 0;
  readonly #gate: Promise<void>;
  #open: () => void = () => undefined;

  private constructor(context: JobContext, nth: number) {
    this.#gate = new Promise((resolve) => (this.#open = resolve));
    let reads = 0;
    this.context = {
      ...context,
      underPermit: async (queue, work) => {
        const read = await context.underPermit(queue, work);
        if (++reads >= nth) {
          this.#held++;
          await this.#gate;
        }
        return read;
      },
    };
  }

  static async create(services: Services, nth = 1): Promise<SlowExecution> {
    return new SlowExecution(await jobContext(services), nth);
  }

  /** Waits until a read is done and held. */
  async reading(): Promise<void> {
    await until("read that is held", () => this.#held > 0);
  }

  letGo(): void {
    this.#open();
  }
}
