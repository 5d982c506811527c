import type { Logger } from "./log.ts";

/** A part of a process that is started and stopped. */
export interface Part {
  readonly name: string;
  start(): Promise<void>;
  /** must be safe to call for a part whose start failed */
  stop(): Promise<void>;
}

/** The started parts. */
export interface Running {
  /** Stops every part in reverse order; a later call waits for the same stop. */
  stop(): Promise<void>;
}

/** Starts parts in order. If one fails, stops it and those before it, and throws its error. */
export async function startParts(parts: readonly Part[], log: Logger): Promise<Running> {
  const started: Part[] = [];
  let stopping: Promise<void> | undefined;
  const stopAll = async () => {
    for (const part of started.reverse()) {
      try {
        await part.stop();
        log.debug({ part: part.name }, "part stopped");
      } catch (error) {
        log.error({ part: part.name, err: error }, "part did not stop cleanly");
      }
    }
  };
  for (const part of parts) {
    started.push(part);
    try {
      await part.start();
      log.debug({ part: part.name }, "part started");
    } catch (error) {
      await stopAll();
      throw error;
    }
  }
  return { stop: () => (stopping ??= stopAll()) };
}
