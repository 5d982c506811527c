import type { TenantSpan } from "../../src/usage/tenant-day.ts";
import { randomUUID } from "node:crypto";
import type { CacheRow } from "../../src/db/postgres/cache/cache-row.ts";
import { writeBatch, type BatchCounts } from "../../src/db/postgres/cache/write.ts";
import type { FailedDay } from "../../src/db/postgres/runs/run.ts";
import type { Claim } from "../../src/db/postgres/runs/claim.ts";
import { listTenantDays, planChunks, type ChunkPlan } from "../../src/usage/plan.ts";
import { stampAt } from "./backends.ts";
import { cacheRow } from "./cache-row.ts";
import type { World } from "./world.ts";

/** Chunks of at most `size` tenant-days; without it, as large as a plan makes them. */
export function chunksOf(spans: readonly TenantSpan[], size?: number): ChunkPlan[] {
  return size === undefined ? planChunks(spans) : planChunks(spans, undefined, { events: Infinity, days: size });
}

/** Plans a run of its own with these tenant-days, in chunks of at most `size`, and answers its id. */
export async function plannedRun({ services }: World, spans: readonly TenantSpan[], size?: number): Promise<string> {
  const runs = await services.runs();
  const [from, to] = ["2026-01-01", "2026-12-31"];
  // A key of its own: no other request is the same.
  const wish = { kind: "backfill", from, to, requestedBy: "test", dedupeBy: randomUUID() } as const;
  const { id } = await runs.create(wish);
  await runs.plan(id, chunksOf(spans, size));
  return id;
}

/** Claims a chunk that can be claimed. */
export async function claimChunk({ services }: World, runId: string, number = 0): Promise<Claim> {
  const claim = await (await services.chunks()).claim(runId, number);
  if (!claim) throw new Error(`chunk ${number} could not be claimed`);
  return claim;
}

/** The claim on the only chunk of a run of its own. */
export async function claimed(world: World, spans: readonly TenantSpan[]): Promise<Claim> {
  return claimChunk(world, await plannedRun(world, spans, 100_000));
}

/** Makes every claim last, however slow the test is: its process is taken to be alive. */
export async function keepLeases({ pool }: World): Promise<void> {
  await pool.query("UPDATE usage_chunk SET lease_until = 'infinity' WHERE state = 'running'");
}

/** Makes every claim one whose process is taken to be dead. */
export async function expireLeases({ pool }: World): Promise<void> {
  await pool.query("UPDATE usage_chunk SET lease_until = clock_timestamp() - interval '1 ms' WHERE state = 'running'");
}

/** Stores rows and failures of a chunk as one batch, after which `cursor` of its days are done. */
export async function store(
  { services }: World,
  claim: Claim,
  rows: readonly CacheRow[],
  failures: readonly FailedDay[],
  cursor: number,
): Promise<BatchCounts> {
  return writeBatch(await services.pool(), claim, { rows, failures, cursor });
}

/** Stores the next days of a chunk in one batch: so many that are read, then so many that failed. */
export async function workOff(world: World, claim: Claim, read: number, failed = 0): Promise<void> {
  const readAt = await stampAt(world.pool);
  const days = listTenantDays(claim.spans).slice(claim.cursor, claim.cursor + read + failed);
  const rows = days.slice(0, read).map(({ tenant, date }) => cacheRow(tenant, date, 1, readAt));
  const failures = days.slice(read).map((day) => ({ ...day, error: "bad" }));
  await store(world, claim, rows, failures, claim.cursor + days.length);
}
