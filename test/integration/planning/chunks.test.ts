import { beforeAll, beforeEach, expect, test } from "vitest";
import type { RunRequest } from "../../../src/db/postgres/runs/request.ts";
import { PAYLOAD_VERSION } from "../../../src/task/payload.ts";
import { planRun } from "../../../src/jobs/plan-run.ts";
import { jobContext } from "../../support/job-context.ts";
import { addDays, type Day } from "../../../src/usage/day.ts";
import type { PlannedSpan } from "../../../src/usage/plan.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { zoneBeforeNoon } from "../../support/quiet-hours.ts";
import { useWorld } from "../../support/world.ts";

const KEPT_DAYS = 10;

const world = useWorld("planning", { EVENTS_RETENTION_DAYS: String(KEPT_DAYS), USAGE_TIMEZONE: zoneBeforeNoon() });
let today: Day;
beforeAll(() => {
  today = world.services.today();
});
beforeEach(() => world.reset());

/** Plans a run as the job does, and answers the spans of each chunk. */
async function plan(wish: Omit<RunRequest, "requestedBy">): Promise<PlannedSpan[][]> {
  const { id } = await (await world.services.runs()).create({ requestedBy: "test", ...wish });
  await planRun.run({ v: PAYLOAD_VERSION, runId: id }, await jobContext(world.services));
  const { rows } = await world.pool.query<{ payload: PlannedSpan[] }>(
    "SELECT payload FROM usage_chunk WHERE run_id = $1 ORDER BY number",
    [id],
  );
  return rows.map(({ payload }) => payload);
}

/** Rows of so many events each, of which the plan looks at nothing else. */
async function storeRows(tenant: string, from: Day, events: readonly number[], state = "final"): Promise<void> {
  await world.pool.query(
    `INSERT INTO daily_usage_cache (tenant_id, date, raw_data, aggregated_by_user, aggregated_by_model,
       aggregated_by_provider, total_requests, total_tokens, prompt_tokens, completion_tokens, total_cost, source_events,
       malformed_events, content_hash, state, revision, read_at, cached_at)
     SELECT $1, $2::date + n::int - 1, '{}', '{}', '{}', '{}', events, 0, 0, 0, 0, events, 0, sha256(''), $4, 1, now(), now()
       FROM unnest($3::bigint[]) WITH ORDINALITY AS u (events, n)`,
    [tenant, from, events, state],
  );
}

test("a nightly run leaves out the days that may have lost events, a backfill plans them", async () => {
  const [from, to] = [addDays(today, -20), addDays(today, -1)];
  await world.insert(daysOfEvents("acme", from, 20));
  // The edge of what is kept lies somewhere in the day ten days ago, so the next one is the first that is whole.
  const first = addDays(today, 1 - KEPT_DAYS);
  expect(await plan({ kind: "nightly", from, to, dedupeBy: "night" })).toEqual([[{ tenant: "acme", from: first, to }]]);
  expect(await plan({ kind: "nightly", from, to: addDays(first, -1), dedupeBy: "too late" })).toEqual([]);
  expect(await plan({ kind: "backfill", from, to })).toEqual([[{ tenant: "acme", from, to }]]);
});

test("chunks are sized by the rows' own counts, then by the tenant's average, then by what is left to guess", async () => {
  const from = "2026-01-01";
  const day = (n: number) => addDays(from, n - 1);
  const events = ["counted", "average", "unseen"].flatMap((tenant) => daysOfEvents(tenant, from, 6));
  await world.insert(events);
  await storeRows("counted", from, [99_000, 50_000, 40_000, 5_000_000, 0, 0]);
  await storeRows("average", day(5), [30_000, 40_000]);
  const range = { kind: "backfill", from, to: day(6) } as const;
  expect(await plan({ ...range, tenants: ["counted"] })).toEqual([
    [{ tenant: "counted", from, to: day(1) }],
    [{ tenant: "counted", from: day(2), to: day(3) }],
    [{ tenant: "counted", from: day(4), to: day(4), expected: 5_000_000 }],
    [{ tenant: "counted", from: day(5), to: day(6) }],
  ]);
  // 35,000 events on an average day: two days a chunk.
  expect(await plan({ ...range, tenants: ["average"] })).toEqual([
    [{ tenant: "average", from, to: day(2) }],
    [{ tenant: "average", from: day(3), to: day(4) }],
    [{ tenant: "average", from: day(5), to: day(6) }],
  ]);
  // The collection holds 18 events in 18 tenant-days.
  expect(await plan({ ...range, tenants: ["unseen"] })).toEqual([[{ tenant: "unseen", from, to: day(6) }]]);
});

test("a row that was read while its day went on tells nothing about the day", async () => {
  const from = "2026-01-01";
  await world.insert(daysOfEvents("acme", from, 4));
  await storeRows("acme", from, [10, 10], "open");
  await storeRows("acme", addDays(from, 2), [99_000, 99_000]);
  const chunks = await plan({ kind: "backfill", from, to: addDays(from, 3) });
  expect(chunks).toHaveLength(4);
});
