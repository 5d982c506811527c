import { describe, expect, test } from "vitest";
import { inParallel, shareAmong } from "../../src/in-parallel.ts";

/** Work that ends when it is told to. */
class Gate {
  readonly begun: number[] = [];
  readonly #end = new Map<number, (error?: Error) => void>();

  work = (item: number): Promise<void> => {
    this.begun.push(item);
    return new Promise((resolve, reject) => this.#end.set(item, (error) => (error ? reject(error) : resolve())));
  };

  async end(item: number, error?: Error): Promise<void> {
    this.#end.get(item)?.(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("inParallel", () => {
  test("works on each item once, and on no more than so many at a time", async () => {
    const gate = new Gate();
    const done = inParallel([1, 2, 3, 4], 2, gate.work);
    expect(gate.begun).toEqual([1, 2]);
    await gate.end(2);
    expect(gate.begun).toEqual([1, 2, 3]);
    await gate.end(1);
    await gate.end(3);
    await gate.end(4);
    await done;
    expect(gate.begun).toEqual([1, 2, 3, 4]);
  });

  test("begins nothing more after a failure, waits for what is underway, and throws the failure", async () => {
    const gate = new Gate();
    let ended = "not yet";
    const done = inParallel([1, 2, 3, 4], 2, gate.work).then(
      () => (ended = "well"),
      (error: Error) => (ended = error.message),
    );
    await gate.end(1, new Error("one"));
    expect([gate.begun, ended]).toEqual([[1, 2], "not yet"]);
    await gate.end(2);
    await done;
    expect([gate.begun, ended]).toEqual([[1, 2], "one"]);
  });

  test("does nothing where there is nothing to do", async () => {
    await inParallel([], 3, () => Promise.reject(new Error("nothing was to be done")));
  });
});

test("shareAmong lets each worker keep what it took, and stops all at a failure", async () => {
  const taken: number[][] = [];
  await shareAmong([1, 2, 3, 4, 5], 2, async (items) => {
    const own: number[] = [];
    for (const item of items) {
      own.push(item);
      await Promise.resolve();
    }
    taken.push(own);
  });
  expect(taken.map(({ length }) => length > 0)).toEqual([true, true]);
  expect(taken.flat().sort()).toEqual([1, 2, 3, 4, 5]);

  const seen: number[] = [];
  const failing = shareAmong([1, 2, 3, 4, 5], 2, async (items) => {
    for (const item of items) {
      seen.push(item);
      await Promise.resolve();
      if (item === 2) throw new Error("two");
    }
  });
  await expect(failing).rejects.toThrow("two");
  expect(seen.length).toBeLessThan(5);
});
