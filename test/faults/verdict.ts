import { contentHash } from "../support/content-hash.ts";
import { differences } from "../support/differences.ts";
import { emptyDay } from "../support/oracle.ts";
import { storedRows } from "../support/stored-rows.ts";
import type { Scene } from "./scene.ts";

/** One fault of a tenant-day. */
export interface WrongDay {
  /** `${tenant}|${date}` */
  readonly day: string;
  readonly what: string;
}

/** The faults of a scene after everything has ended. */
export interface Verdict {
  /** rows with wrong figures, proof or history */
  readonly wrong: readonly WrongDay[];
  /** tenant-days of a run without their row */
  readonly lost: readonly string[];
  /** counts that do not add up, runs that are stuck or failed */
  readonly runs: readonly string[];
}

interface RunRow {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly tenants: string[] | null;
  readonly from_date: string;
  readonly to_date: string;
  readonly error: string | null;
  readonly chunks_planned: number;
  readonly chunks_done: number;
  readonly chunks_failed: number;
  readonly days_planned: number;
  readonly days_written: number;
  readonly days_unchanged: number;
  readonly days_stale: number;
  readonly days_refused: number;
  readonly days_failed: number;
}

/** Compares the whole table with the oracle, and every run with its chunks and its counts. */
export async function judge(scene: Scene): Promise<Verdict> {
  const { pool } = scene;
  const runs = (
    await pool.query<RunRow>(
      `SELECT id, kind, state, tenants, from_date::text, to_date::text, error, chunks_planned, chunks_done, chunks_failed,
              days_planned, days_written, days_unchanged, days_stale, days_refused, days_failed
         FROM usage_run WHERE finished_at IS NOT NULL OR created_at <= coalesce($1::timestamptz, now())
        ORDER BY created_at`,
      [scene.settledAt],
    )
  ).rows;
  const { wrong, lost } = await judgeRows(scene, runs);
  return {
    wrong: [...wrong, ...(await judgeChanges(scene))],
    lost,
    runs: [...runs.flatMap(judgeRun), ...(await judgeChunks(scene))],
  };
}

async function judgeRows(
  { pool, source }: Scene,
  runs: readonly RunRow[],
): Promise<{ wrong: WrongDay[]; lost: string[] }> {
  const rows = await storedRows(pool);
  const { expected } = source;
  const tenants = new Set(Array.from(expected.values(), ({ tenant }) => tenant));
  const wrong: WrongDay[] = [];
  for (const [key, row] of rows) {
    const { tenant_id: tenant, date } = row;
    // A tenant with events on other days has a row of zeros for a day without.
    const day = expected.get(key) ?? (tenants.has(tenant) ? emptyDay(tenant, date) : undefined);
    if (!day) wrong.push({ day: key, what: "row of a tenant that has no events" });
    else wrong.push(...differences(row, day).map((what) => ({ day: key, what })));
    if (row.content_hash !== contentHash(row))
      wrong.push({ day: key, what: "its hash does not follow from what it stores" });
  }
  const isCovered = (tenant: string, date: string) =>
    runs.some(
      ({ from_date, to_date, state, tenants: asked }) =>
        state !== "cancelled" && date >= from_date && date <= to_date && (asked?.includes(tenant) ?? true),
    );
  const lost = [...expected].filter(([key, { tenant, date }]) => !rows.has(key) && isCovered(tenant, date));
  return { wrong, lost: lost.map(([key]) => key) };
}

function judgeRun(run: RunRow): string[] {
  const name = `${run.kind} run ${run.id}`;
  if (run.state !== "done") return [`${name} is ${run.state}: ${run.error}`];
  const found: string[] = [];
  if (run.chunks_planned !== run.chunks_done + run.chunks_failed) {
    found.push(`${name}: ${run.chunks_planned} chunks planned, ${run.chunks_done} done, ${run.chunks_failed} failed`);
  }
  const ended = run.days_written + run.days_unchanged + run.days_stale + run.days_refused + run.days_failed;
  if (run.days_planned !== ended) found.push(`${name}: ${run.days_planned} tenant-days planned, ${ended} ended`);
  return found;
}

/** A run's counts must be the sums of its chunks, and no chunk may be unfinished. */
async function judgeChunks({ pool }: Scene): Promise<string[]> {
  const { rows } = await pool.query<{ what: string }>(
    `SELECT format('chunk %s of run %s is %s, %s of %s tenant-days ended', k.number, k.run_id, k.state,
                   k.written + k.unchanged + k.stale + k.refused + k.failed, k.planned) AS what
       FROM usage_chunk k JOIN usage_run r ON r.id = k.run_id
      WHERE r.finished_at IS NOT NULL
        AND (k.state NOT IN ('done', 'failed')
             OR k.written + k.unchanged + k.stale + k.refused + k.failed <> k.planned)
     UNION ALL
     SELECT format('run %s says %s chunks and %s written tenant-days, its chunks say %s and %s', r.id, r.chunks_planned,
                   r.days_written, count(k.number), coalesce(sum(k.written), 0))
       FROM usage_run r LEFT JOIN usage_chunk k ON k.run_id = r.id
      WHERE r.state = 'done'
      GROUP BY r.id
     HAVING count(k.number) <> r.chunks_planned OR coalesce(sum(k.written), 0) <> r.days_written`,
  );
  return rows.map(({ what }) => what);
}

/** Every row must have one change for each of its revisions, and the newest change must equal the row. */
async function judgeChanges({ pool }: Scene): Promise<WrongDay[]> {
  const { rows } = await pool.query<WrongDay>(
    `SELECT tenant_id || '|' || date AS day, format('revision %s was recorded %s times', revision, count(*)) AS what
       FROM usage_change GROUP BY tenant_id, date, revision HAVING count(*) > 1
     UNION ALL
     SELECT c.tenant_id || '|' || c.date, format('revision %s, and %s changes recorded', c.revision, count(u.id))
       FROM daily_usage_cache c
       LEFT JOIN usage_change u ON u.tenant_id = c.tenant_id AND u.date = c.date AND u.revision <= c.revision
      GROUP BY c.tenant_id, c.date HAVING count(u.id) <> c.revision
     UNION ALL
     SELECT c.tenant_id || '|' || c.date, 'its newest change says otherwise'
       FROM daily_usage_cache c
       JOIN usage_change u ON u.tenant_id = c.tenant_id AND u.date = c.date AND u.revision = c.revision
      WHERE (u.new_requests, u.new_tokens, u.new_cost) IS DISTINCT FROM (c.total_requests, c.total_tokens, c.total_cost)
     UNION ALL
     SELECT u.tenant_id || '|' || u.date, 'changes without a row'
       FROM usage_change u
      WHERE NOT EXISTS (SELECT 1 FROM daily_usage_cache c WHERE c.tenant_id = u.tenant_id AND c.date = u.date
                           AND c.revision >= u.revision)`,
  );
  return rows;
}
