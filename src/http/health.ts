/** The activity of one queue's worker. */
export interface Consumption {
  readonly queue: string;
  /** number of jobs that run */
  readonly active: number;
  /** those of them that have given no sign for longer than they ever should */
  readonly hanging: number;
  /** milliseconds since a job began or ended, or gave a sign that it gets on */
  readonly idleMs: number;
  /** number of waiting jobs; undefined if the queue does not answer */
  readonly waiting: number | undefined;
}

/** A worker that has left jobs waiting for this long, and works on none, is stuck. */
const STUCK_MS = 10 * 60_000;

/**
 * Alive means that the worker takes waiting jobs and that its jobs get on, not that Redis answers: a restart does not help a
 * worker that waits for Redis, but it helps one that has stopped taking jobs, or whose job hangs.
 */
export function liveness(queues: readonly Consumption[]): { alive: boolean; stuck: string[] } {
  const stuck = queues.filter(({ active, hanging, idleMs, waiting = 0 }) => {
    return hanging > 0 || (active === 0 && waiting > 0 && idleMs > STUCK_MS);
  });
  return { alive: stuck.length === 0, stuck: stuck.map(({ queue }) => queue) };
}
