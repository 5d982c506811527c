import { afterEach, beforeEach, expect, test } from "vitest";
import { Queues } from "../../../src/queues/queues.ts";
import { plannedRun } from "../../support/claimed.ts";
import { BulkQueue } from "../../support/bulk-queue.ts";
import { openedForEach } from "../../support/opened.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("priority");
const queue = openedForEach(() => new BulkQueue(world));
beforeEach(() => world.reset());
afterEach(() => queue.obliterate({ force: true }));

/** The jobs in the order in which workers take them. */
async function inOrder(): Promise<string[]> {
  const jobs = await queue.getJobs(["wait", "prioritized"], 0, -1, true);
  const priorities = new Map(jobs.map((job) => [job.id, job.opts.priority ?? 0]));
  // A job without a priority goes first, then the lower priority before the higher; of two equal ones the older.
  return [...jobs]
    .sort((a, b) => (priorities.get(a.id) ?? 0) - (priorities.get(b.id) ?? 0) || a.timestamp - b.timestamp)
    .map((job) => job.name);
}

test("hundreds of runs to plan do not go before the chunks of a run: they take turns", async () => {
  const runs = await world.services.runs();
  const days = { from: "2026-01-01", to: "2026-01-20" };
  await plannedRun(world, [{ tenant: "a", ...days }], 1);
  for (let n = 1; n <= 300; n++) {
    const [from, to] = ["2026-02-01", `2026-02-${String((n % 28) + 1).padStart(2, "0")}`];
    await runs.create({ kind: "backfill", from, to, requestedBy: "test", dedupeBy: String(n) });
  }
  const queues = new Queues(queue.redis, world.config.queuePrefix, () => undefined);
  await queues.dispatch(await world.services.due());
  await queues.close();
  const order = await inOrder();
  expect(order.filter((name) => name === "plan-run")).toHaveLength(300);
  // Of twenty chunks each has had its turn after as many runs to plan, rather than after all of them.
  expect(order.slice(0, 40).filter((name) => name === "aggregate-days")).toHaveLength(20);
  expect(order.slice(40)).toEqual(Array.from({ length: 280 }, () => "plan-run"));
});

test("a run of high priority is planned before the chunks of others, one of low priority after them", async () => {
  const runs = await world.services.runs();
  await plannedRun(world, [{ tenant: "a", from: "2026-01-01", to: "2026-01-10" }], 1);
  for (const priority of [-1, 1] as const) {
    await runs.create({
      kind: "backfill",
      from: "2026-02-01",
      to: "2026-02-02",
      requestedBy: "test",
      priority,
      dedupeBy: String(priority),
    });
  }
  const queues = new Queues(queue.redis, world.config.queuePrefix, () => undefined);
  await queues.dispatch(await world.services.due());
  await queues.close();
  expect(await inOrder()).toEqual(["plan-run", ...Array.from({ length: 10 }, () => "aggregate-days"), "plan-run"]);
});
