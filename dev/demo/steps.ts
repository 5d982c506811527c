import { table } from "../../src/cli/table.ts";
import { heading, indented, say } from "./print.ts";

interface Step {
  readonly name: string;
  readonly seconds: string;
}

/** The steps with their durations. */
export class Steps {
  readonly #steps: Step[] = [];
  readonly #startedAt = performance.now();

  /**
   * Runs one step. `what` makes the printed text from its result and its seconds; without it nothing is printed now.
   */
  async take<T>(name: string, work: () => Promise<T>, what?: (result: T, seconds: number) => string): Promise<T> {
    const started = performance.now();
    const result = await work();
    const seconds = (performance.now() - started) / 1_000;
    this.#steps.push({ name, seconds: seconds.toFixed(1) });
    if (what) say(`  ${name.padEnd(12)}${what(result, seconds)}`);
    return result;
  }

  print(): void {
    heading("How long it took");
    const total = ((performance.now() - this.#startedAt) / 1_000).toFixed(1);
    const rows = [...this.#steps, { name: "all of it", seconds: total }];
    say(
      indented(
        table(
          ["step", "seconds"],
          rows.map(({ name, seconds }) => [name, seconds.padStart(7)]),
        ).join("\n"),
      ),
    );
  }
}
