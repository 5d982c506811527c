/**
 * The progress of a running statement, seen from another connection: phase, percentage, and the sessions it waits for.
 */

export interface BuildState {
  readonly phase: string | null;
  readonly waits: boolean;
  readonly blockers: string | null;
  readonly percent: string | null;
}

/** For a person, in one line. */
export function describe(state: BuildState | undefined): string {
  if (!state) return "running";
  const phase = state.phase ?? (state.waits ? "waiting for a lock" : "running");
  const percent = state.percent === null ? "" : ` ${state.percent}%`;
  return `${phase}${percent}${state.waits && state.blockers ? `, behind ${state.blockers}` : ""}`;
}

export const BUILD_STATE = `
  SELECT p.phase, coalesce(a.wait_event_type = 'Lock', false) AS waits,
         (SELECT string_agg('pid ' || b.pid || coalesce(' (' || nullif(b.application_name, '') || ')', '')
                   || coalesce(to_char(b.xact_start AT TIME ZONE 'UTC', '" in transaction since "HH24:MI:SS" UTC"'), ''), ', ')
            FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(a.pid))) AS blockers,
         (CASE WHEN p.blocks_total > 0 THEN 100 * p.blocks_done / p.blocks_total
               WHEN p.tuples_total > 0 THEN 100 * p.tuples_done / p.tuples_total
               WHEN p.lockers_total > 0 THEN 100 * p.lockers_done / p.lockers_total END)::text AS percent
    FROM pg_stat_activity a LEFT JOIN pg_stat_progress_create_index p USING (pid)
   WHERE a.pid = $1`;
