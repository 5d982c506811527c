/**
 * Statements that lock out readers or writers for a moment: everybody who comes later queues behind a lock that is waited
 * for, so the wait is short, and after a pause it is tried again.
 */
import pg from "pg";
import { pause } from "../engine.ts";
import type { IndexSession } from "./session.ts";

/** Below the default deadlock_timeout of 1 s: where both would wait for each other, this side gives way. */
const LOCK_TIMEOUT = "500ms";
const LOCK_NOT_AVAILABLE = "55P03";
const PAUSE_FIRST_MS = 250;
const PAUSE_LAST_MS = 4_000;

export interface BriefOptions {
  readonly signal: AbortSignal;
  /** how long to go on trying */
  readonly maxWaitMs: number;
  readonly onProgress: (line: string) => void;
}

/** Runs the statements in one transaction. @param more further statements, asked for within it @throws when the signal fires between two tries, or after `maxWaitMs` */
export async function runBriefly(
  session: IndexSession,
  label: string,
  statements: readonly string[],
  { signal, maxWaitMs, onProgress }: BriefOptions,
  more?: () => Promise<readonly string[]>,
): Promise<void> {
  const deadline = performance.now() + maxWaitMs;
  for (let delay = PAUSE_FIRST_MS; ; delay = Math.min(PAUSE_LAST_MS, delay * 2)) {
    if (session.lost) throw new Error("the index lock is not held");
    try {
      await inTransaction(session, statements, LOCK_TIMEOUT, more);
      return;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== LOCK_NOT_AVAILABLE) throw error;
      if (performance.now() >= deadline) {
        throw new Error(`gave up after ${maxWaitMs} ms: other sessions keep a lock (${error.message})`, {
          cause: error,
        });
      }
      onProgress(`postgres ${label}: waiting for a moment without other sessions' locks`);
      await pause(delay * (0.5 + Math.random()), signal);
      if (signal.aborted) throw new Error("cancelled", { cause: error });
    }
  }
}

/** Runs the statements in one transaction, each of which waits for a lock so long at most. */
export async function inTransaction(
  session: IndexSession,
  statements: readonly string[],
  lockTimeout: string,
  more: () => Promise<readonly string[]> = () => Promise.resolve([]),
): Promise<void> {
  await session.query("BEGIN");
  try {
    await session.query("SELECT set_config('lock_timeout', $1, true)", [lockTimeout]);
    for (const statement of statements) await session.query(statement);
    for (const statement of await more()) await session.query(statement);
    await session.query("COMMIT");
  } catch (error) {
    await session.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}
