import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { recently } from "../../src/recently.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A value that counts its reads. */
function counted() {
  let reads = 0;
  return recently(1_000, () => Promise.resolve(++reads));
}

test("a value is read once for all who ask within the time", async () => {
  const read = counted();
  expect(await Promise.all([read(), read()])).toEqual([1, 1]);
  vi.advanceTimersByTime(1_000);
  expect(await read()).toBe(1);
});

test("a value is read again when its time is over, or when it is asked for now", async () => {
  const read = counted();
  expect(await read()).toBe(1);
  vi.advanceTimersByTime(1_001);
  expect(await read()).toBe(2);
  expect(await read("now")).toBe(3);
  expect(await read()).toBe(3);
});

test("an error is not kept", async () => {
  let isAway = true;
  const read = recently(1_000, () => (isAway ? Promise.reject(new Error("away")) : Promise.resolve("there")));
  await expect(read()).rejects.toThrow("away");
  isAway = false;
  expect(await read()).toBe("there");
});
