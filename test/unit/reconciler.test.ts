import { expect, test } from "vitest";
import { Reconciler } from "../../src/reconciler.ts";

/** Turns that end when they are told to. */
class Turns {
  begun = 0;
  underway = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #ends: (() => void)[] = [];

  readonly take = async (): Promise<void> => {
    this.begun++;
    this.underway++;
    this.#waiting.splice(0).forEach((tell) => tell());
    await new Promise<void>((resolve) => this.#ends.push(resolve));
    this.underway--;
  };

  async hasBegun(count: number): Promise<void> {
    while (this.begun < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    this.#ends.shift()?.();
  }
}

test("a start ends with the first turn, and no turn begins before the one before it has ended", async () => {
  const turns = new Turns();
  const reconciler = new Reconciler(turns.take, 1);
  let isStarted = false;
  const started = reconciler.start().then(() => (isStarted = true));
  await turns.hasBegun(1);
  expect(isStarted).toBe(false);
  turns.end();
  await started;
  await turns.hasBegun(2);
  await new Promise((resolve) => setTimeout(resolve, 20)); // twenty times the pause between two turns
  expect([turns.begun, turns.underway]).toEqual([2, 1]);
  turns.end();
  await turns.hasBegun(3);
  turns.end();
  await reconciler.stop();
});

test("a stop ends with the turn that is underway, and none begins after it", async () => {
  const turns = new Turns();
  const reconciler = new Reconciler(turns.take, 1);
  const started = reconciler.start();
  turns.end();
  await started;
  await turns.hasBegun(2);
  let isStopped = false;
  const stopped = reconciler.stop().then(() => (isStopped = true));
  await Promise.resolve();
  expect(isStopped).toBe(false);
  turns.end();
  await stopped;
  expect([turns.begun, turns.underway]).toEqual([2, 0]);
});

test("a stop between two turns does not wait for the next", async () => {
  const turns = new Turns();
  const reconciler = new Reconciler(turns.take, 3_600_000);
  const started = reconciler.start();
  turns.end();
  await started;
  await reconciler.stop();
  expect(turns.begun).toBe(1);
});
