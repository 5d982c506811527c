import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pino } from "pino";
import { repeated } from "../../src/repeated.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Line {
  readonly msg: string;
  readonly times?: number;
  readonly queue?: string;
}

function logged() {
  const lines: Line[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  return { lines, say: repeated(log) };
}

test("an error that comes ten thousand times a second is one line at once, and one in ten seconds with their number", () => {
  const { lines, say } = logged();
  for (let second = 0; second < 30; second++) {
    for (let n = 0; n < 10_000; n++) say("warn", new Error("no memory"), "queue error", { queue: "bulk" });
    vi.advanceTimersByTime(1_000);
  }
  expect(lines.map(({ msg, times, queue }) => ({ msg, times, queue }))).toEqual([
    { msg: "queue error", times: undefined, queue: "bulk" },
    { msg: "queue error, again", times: 99_999, queue: "bulk" },
    { msg: "queue error, again", times: 100_000, queue: "bulk" },
    { msg: "queue error, again", times: 100_000, queue: "bulk" },
  ]);
});

test("errors of different kinds do not hide each other, and one that was over is logged at once again", () => {
  const { lines, say } = logged();
  say("warn", new Error("one"), "queue error");
  say("warn", new Error("two"), "queue error");
  say("error", new Error("one"), "reconcile failed");
  expect(lines).toHaveLength(3);
  vi.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(3);
  expect(vi.getTimerCount()).toBe(0);
  say("warn", new Error("one"), "queue error");
  expect(lines).toHaveLength(4);
});

test("errors whose text is never the same write no more than a line a second, and each is counted", () => {
  const { lines, say } = logged();
  const count = 30_000;
  for (let n = 0; n < count; n++) {
    say("warn", new Error(`the lock of job ${n} is missing`), "queue error");
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(20_000);
  expect(lines.length).toBeLessThanOrEqual((count * 10) / 1_000);
  expect(lines.reduce((sum, { times = 1 }) => sum + times, 0)).toBe(count);
});
