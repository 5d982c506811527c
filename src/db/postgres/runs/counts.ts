/** What the chunks of a run come to. */
export const SUMS = `count(*) FILTER (WHERE state = 'done')::int AS done, count(*) FILTER (WHERE state = 'failed')::int AS failed,
  coalesce(sum(written), 0)::int AS written, coalesce(sum(unchanged), 0)::int AS unchanged,
  coalesce(sum(stale), 0)::int AS stale, coalesce(sum(refused), 0)::int AS refused,
  coalesce(sum(failed), 0)::int AS days_failed, coalesce(sum(source_events), 0)::bigint AS source_events,
  coalesce(sum(malformed_events), 0)::bigint AS malformed_events`;

/** Keeps the counts `k` in the run itself when it ends. */
export const END_COUNTS = `finished_at = clock_timestamp(), chunks_done = k.done, chunks_failed = k.failed,
  days_written = k.written, days_unchanged = k.unchanged, days_stale = k.stale, days_refused = k.refused,
  days_failed = k.days_failed, source_events = k.source_events, malformed_events = k.malformed_events`;

/** The counts `k` of the run $1. */
export const COUNTS_OF_RUN = `(SELECT ${SUMS} FROM usage_chunk WHERE run_id = $1) k`;

/** What is told of a run that ended, to what follows from its end. */
export const ENDED_RUN = `r.id, r.kind, r.from_date AS "from", r.to_date AS "to", r.state`;
