import { expect, test } from "vitest";
import { shortest } from "../../../../src/indexes/contract/shortest.ts";

/** Runs of the given lengths by a fake clock, the last length repeated; undefined = a run that hits the limit. */
function timed(promisedMs: number, ...durations: (number | undefined)[]) {
  let time = 0;
  let runs = 0;
  const run = () => {
    const ms = durations[Math.min(runs, durations.length - 1)];
    runs += 1;
    time += ms ?? 100;
    return Promise.resolve(ms === undefined ? undefined : runs);
  };
  return shortest(promisedMs, run, () => time).then((best) => ({ best, runs }));
}

test("one run within the promised time is enough, slow runs before it do not count", async () => {
  expect(await timed(25, 40, 30, 25, 1)).toEqual({ best: { answer: 3, ms: 25 }, runs: 3 });
});

test("a query that is never quick enough is tried a few times, and its shortest time is returned", async () => {
  expect(await timed(5, 9, 7, 8)).toEqual({ best: { answer: 10, ms: 7 }, runs: 10 });
  expect(await timed(5, 900)).toEqual({ best: { answer: 3, ms: 900 }, runs: 3 });
});

test("a run that hits the limit ends the tries: the first returns nothing, a later one the shortest before it", async () => {
  expect(await timed(5, undefined)).toEqual({ best: undefined, runs: 1 });
  expect(await timed(5, 9, 8, undefined)).toEqual({ best: { answer: 2, ms: 8 }, runs: 3 });
});
