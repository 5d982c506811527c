import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TimeLimit } from "../../../src/task/time-limit.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Work off the clock that ends when told. */
function wait(limit: TimeLimit) {
  let end!: () => void;
  const work = new Promise<string>((resolve) => {
    end = () => resolve("permit");
  });
  return { done: limit.without(() => work), end };
}

test("aborts when it is used up, and not before", async () => {
  const { signal } = new TimeLimit(1_000);
  await pass(999);
  expect(signal.aborted).toBe(false);
  await pass(1);
  expect(() => signal.throwIfAborted()).toThrow("the job's time limit is used up");
});

test("does not count what is waited for, and goes on after it with what was left", async () => {
  const limit = new TimeLimit(1_000);
  await pass(600);
  const permit = wait(limit);
  await pass(3_600_000);
  expect(limit.signal.aborted).toBe(false);
  permit.end();
  expect(await permit.done).toBe("permit");
  await pass(399);
  expect(limit.signal.aborted).toBe(false);
  await pass(1);
  expect(limit.signal.aborted).toBe(true);
});

test("counts again only when the last of several waits has ended", async () => {
  const limit = new TimeLimit(1_000);
  const [one, other] = [wait(limit), wait(limit)];
  await pass(5_000);
  one.end();
  await one.done;
  await pass(5_000);
  expect(limit.signal.aborted).toBe(false);
  other.end();
  await other.done;
  await pass(999);
  expect(limit.signal.aborted).toBe(false);
  await pass(1);
  expect(limit.signal.aborted).toBe(true);
});

test("counts again after a wait that failed, and passes its error on", async () => {
  const limit = new TimeLimit(1_000);
  await expect(limit.without(() => Promise.reject(new Error("no permit")))).rejects.toThrow("no permit");
  await pass(1_000);
  expect(limit.signal.aborted).toBe(true);
});

test("adds up over many waits", async () => {
  const limit = new TimeLimit(1_000);
  for (let round = 0; round < 9; round++) {
    await pass(100);
    const permit = wait(limit);
    await pass(1_000);
    permit.end();
    await permit.done;
  }
  await pass(99);
  expect(limit.signal.aborted).toBe(false);
  await pass(1);
  expect(limit.signal.aborted).toBe(true);
});

test("once stopped, never aborts, though a wait ends later", async () => {
  const limit = new TimeLimit(1_000);
  const permit = wait(limit);
  limit.stop();
  permit.end();
  await permit.done;
  await pass(10_000);
  expect(limit.signal.aborted).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
});
