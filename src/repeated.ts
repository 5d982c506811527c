import type { Logger } from "./log.ts";

/** An error that comes again is logged at most so often. */
const EVERY_MS = 10_000;

/** Errors that are told apart at a time: all together write a line a second at most, once each has been logged. */
const MOST_KINDS = 8;

/** Logs an error of some kind. */
export type LogError = (level: "warn" | "error", error: unknown, message: string, details?: object) => void;

/**
 * Logs errors that may come in a loop: the first of a kind at once, then one line for all of its kind in ten seconds, with
 * their number. A kind is its message and that of the error; further kinds than MOST_KINDS count by their message alone, since
 * the text of some errors is never the same.
 */
export function repeated(log: Logger): LogError {
  const kinds = new Map<string, { more: number; last: () => void }>();
  return (level, err, message, details = {}) => {
    const exact = `${message}|${(err as Error | null)?.message}`;
    const kind = kinds.has(exact) || kinds.size < MOST_KINDS ? exact : message;
    const known = kinds.get(kind);
    if (known) {
      known.more++;
      known.last = () => log[level]({ ...details, err, times: known.more }, `${message}, again`);
      return;
    }
    log[level]({ ...details, err }, message);
    const seen = { more: 0, last: () => undefined as void };
    kinds.set(kind, seen);
    const timer = setInterval(() => {
      if (seen.more === 0) {
        clearInterval(timer);
        kinds.delete(kind);
        return;
      }
      seen.last();
      seen.more = 0;
    }, EVERY_MS);
    timer.unref();
  };
}
