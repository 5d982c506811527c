/** Sums over chunks: columns of a query over usage_chunk. */
export const CHUNK_SUMS = `count(*) FILTER (WHERE state = 'done')::int AS done, count(*) FILTER (WHERE state = 'failed')::int AS failed,
  coalesce(sum(written), 0)::int AS written, coalesce(sum(unchanged), 0)::int AS unchanged,
  coalesce(sum(stale), 0)::int AS stale, coalesce(sum(refused), 0)::int AS refused,
  coalesce(sum(failed), 0)::int AS days_failed, coalesce(sum(source_events), 0)::bigint AS source_events,
  coalesce(sum(malformed_events), 0)::bigint AS malformed_events, coalesce(sum(fell), 0)::int AS fell`;

/** The counts of one run. @param runId an SQL expression, such as $1 */
export const countsOfRun = (runId: string): string => `(SELECT ${CHUNK_SUMS} FROM usage_chunk WHERE run_id = ${runId})`;

/** Assignments that keep the counts in the run itself when it ends. @param counts the alias of countsOfRun() */
export const endCounts = (counts: string): string =>
  `finished_at = clock_timestamp(), chunks_done = ${counts}.done, chunks_failed = ${counts}.failed,
   days_written = ${counts}.written, days_unchanged = ${counts}.unchanged, days_stale = ${counts}.stale,
   days_refused = ${counts}.refused, days_failed = ${counts}.days_failed, source_events = ${counts}.source_events,
   malformed_events = ${counts}.malformed_events, days_fell = ${counts}.fell`;

/** Columns of a finished run that endRun() needs. @param run the alias of a row of usage_run */
export const endedRun = (run: string): string =>
  `${run}.id, ${run}.kind, ${run}.to_date AS "to", ${run}.state, ${run}.started_at IS NOT NULL AS "wasPlanned"`;
