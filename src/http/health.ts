/** What one queue's worker was last seen doing. */
export interface Consumption {
  readonly queue: string;
  /** since a job began or ended; 0 while one is being worked on */
  readonly idleMs: number;
  /** jobs that wait, or undefined where the queue does not answer */
  readonly waiting: number | undefined;
}

/** A worker that has left jobs waiting for this long is stuck. */
const STUCK_MS = 10 * 60_000;

/**
 * Alive means that work is being consumed, not that Redis answers: a worker that waits for Redis to come back is not
 * helped by a restart, one that has stopped taking the jobs that wait is.
 */
export function liveness(queues: readonly Consumption[]): { alive: boolean; stuck: string[] } {
  const stuck = queues.filter(({ idleMs, waiting }) => waiting !== undefined && waiting > 0 && idleMs > STUCK_MS);
  return { alive: stuck.length === 0, stuck: stuck.map(({ queue }) => queue) };
}
