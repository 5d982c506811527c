import { pino } from "pino";
import { expect, test } from "vitest";
import { z } from "zod";
import type { Session } from "../../../src/db/postgres/session.ts";
import type { JobContext, Need } from "../../../src/task/context.ts";
import { Executor } from "../../../src/task/executor.ts";
import { defineJob, NewerVersionError, PermanentError } from "../../../src/task/job.ts";
import { TimeLimitError } from "../../../src/task/time-limit.ts";

/** An executor that supplies `today` alone, with the needs it was asked for and the lines it logged. */
function executor(failureLevel: "error" | "debug" = "error") {
  const lost = new AbortController();
  const asked: Need[] = [];
  const lines: { level: number; msg: string }[] = [];
  const log = pino(
    { level: "debug" },
    { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  );
  const made = new Executor(
    {
      session: () => Promise.resolve({ lost: lost.signal } as Session),
      supply: <N extends Need>(needs: readonly N[]) => {
        asked.push(...needs);
        return Promise.resolve({ today: () => "2026-03-01" } as unknown as Pick<JobContext, N>);
      },
    },
    failureLevel,
  );
  const said = () => lines.map(({ level, msg }) => `${pino.levels.labels[level]}: ${msg}`);
  return { executor: made, log, asked, said, lost };
}

const payload = z.strictObject({ v: z.literal(1), name: z.string() });
const greet = defineJob({
  name: "greet",
  payload,
  needs: ["today"],
  timeoutMs: 60_000,
  id: ({ name }) => name,
  run: ({ name }, { today }) => Promise.resolve(`${name} on ${today()}`),
});
const never = () => new AbortController().signal;

test("a job is given what it needs and nothing else, and its end is logged", async () => {
  const { executor: made, log, asked, said } = executor();
  expect(await made.executeJob(greet, { v: 1, name: "acme" }, { log, signal: never() })).toBe("acme on 2026-03-01");
  expect(asked).toEqual(["today"]);
  expect(said()).toEqual(["info: job done"]);
});

test("a payload that does not parse is refused for good, with the field that is wrong, and nothing is opened", async () => {
  const { executor: made, log, asked, said } = executor();
  const refused = made.executeJob(greet, { v: 1, name: 7 }, { log, signal: never() });
  await expect(refused).rejects.toThrow(PermanentError);
  await expect(refused).rejects.toThrow(/^payload refused: name: /);
  expect(asked).toEqual([]);
  expect(said()).toEqual(["error: payload refused"]);
});

test("a payload of a later version is left to a newer process", async () => {
  const { executor: made, log, said } = executor();
  const newer = made.executeJob(greet, { v: 2, title: "acme" }, { log, signal: never() });
  await expect(newer).rejects.toThrow(NewerVersionError);
  expect(said()).toEqual([]);
});

/** A job that ends when its signal aborts, with the signal's reason. */
const wait = (timeoutMs: number) =>
  defineJob({
    name: "wait",
    payload,
    needs: [],
    timeoutMs,
    id: ({ name }) => name,
    run: (_payload, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      }),
  });

test("a job that uses up its time fails, at the level that the caller asked for", async () => {
  for (const level of ["error", "debug"] as const) {
    const { executor: made, log, said } = executor(level);
    const late = made.execute(wait(1), { v: 1, name: "acme" }, { log, signal: never() });
    await expect(late).rejects.toThrow(TimeLimitError);
    expect(said()).toEqual([`${level}: job failed`]);
  }
});

test("a job that its caller cancels is handed back, and is no failure", async () => {
  const { executor: made, log, said } = executor();
  const caller = new AbortController();
  const cancelled = made.execute(wait(60_000), { v: 1, name: "acme" }, { log, signal: caller.signal });
  setImmediate(() => caller.abort(new Error("stop")));
  await expect(cancelled).rejects.toThrow("stop");
  expect(said()).toEqual(["info: job handed back"]);
});

test("a job ends when this process has lost its locks", async () => {
  const { executor: made, log, lost, said } = executor();
  const unlocked = made.execute(wait(60_000), { v: 1, name: "acme" }, { log, signal: never() });
  setImmediate(() => lost.abort(new Error("the locks are lost")));
  await expect(unlocked).rejects.toThrow("the locks are lost");
  expect(said()).toEqual(["error: job failed"]);
});
