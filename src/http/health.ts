/** The activity of one queue's worker. */
export interface Consumption {
  readonly queue: string;
  /** since the last job began or ended; 0 while a job runs */
  readonly idleMs: number;
  /** number of waiting jobs; undefined if the queue does not answer */
  readonly waiting: number | undefined;
}

/** A worker that has left jobs waiting for this long is stuck. */
const STUCK_MS = 10 * 60_000;

/**
 * Alive means that the worker takes waiting jobs, not that Redis answers: a restart does not help a worker that waits
 * for Redis, but it helps one that has stopped taking jobs.
 */
export function liveness(queues: readonly Consumption[]): { alive: boolean; stuck: string[] } {
  const stuck = queues.filter(({ idleMs, waiting }) => waiting !== undefined && waiting > 0 && idleMs > STUCK_MS);
  return { alive: stuck.length === 0, stuck: stuck.map(({ queue }) => queue) };
}
