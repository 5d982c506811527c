import { pino } from "pino";
import { expect, test } from "vitest";
import { startParts, type Part } from "../../src/lifecycle.ts";

interface Line {
  level: number;
  msg: string;
  part: string;
  err?: { message: string };
}

/** Parts that write down what happens to them, and a log that does. */
function stage(...names: string[]) {
  const events: string[] = [];
  const lines: Line[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  const parts = names.map((name): Part => ({
    name,
    start: async () => {
      await Promise.resolve();
      events.push(`start ${name}`);
    },
    stop: async () => {
      await Promise.resolve();
      events.push(`stop ${name}`);
    },
  }));
  return { events, lines, log, parts };
}

test("parts start in order, each after the one before, and stop in reverse", async () => {
  const { events, log, parts } = stage("a", "b", "c");
  const running = await startParts(parts, log);
  expect(events).toEqual(["start a", "start b", "start c"]);
  await running.stop();
  expect(events.slice(3)).toEqual(["stop c", "stop b", "stop a"]);
});

test("a start that fails is rolled back, the failed part included, and its error is thrown", async () => {
  const { events, log, parts } = stage("a", "b", "c");
  (parts[1] as Part).start = () => Promise.reject(new Error("port taken"));
  await expect(startParts(parts, log)).rejects.toThrow("port taken");
  expect(events).toEqual(["start a", "stop b", "stop a"]);
});

test("a stop happens once, and everyone who asks waits for it", async () => {
  const { events, log, parts } = stage("a", "b");
  const running = await startParts(parts, log);
  let stopped = false;
  const first = running.stop().then(() => (stopped = true));
  await running.stop();
  await first;
  expect(stopped).toBe(true);
  await running.stop();
  expect(events).toEqual(["start a", "start b", "stop b", "stop a"]);
});

test("a part that does not stop is logged and keeps no other from stopping", async () => {
  const { events, lines, log, parts } = stage("a", "b", "c");
  (parts[1] as Part).stop = () => Promise.reject(new Error("stuck"));
  const running = await startParts(parts, log);
  await running.stop();
  expect(events.slice(3)).toEqual(["stop c", "stop a"]);
  const [error, ...others] = lines.filter(({ level }) => level >= 50);
  expect(error).toMatchObject({ part: "b", msg: "part did not stop cleanly", err: { message: "stuck" } });
  expect(others).toEqual([]);
});

test("a failure of the rollback does not hide why the start failed", async () => {
  const { log, parts } = stage("a", "b");
  (parts[0] as Part).stop = () => Promise.reject(new Error("stuck"));
  (parts[1] as Part).start = () => Promise.reject(new Error("port taken"));
  await expect(startParts(parts, log)).rejects.toThrow("port taken");
});
