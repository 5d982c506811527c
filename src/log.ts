import { pino, type Logger } from "pino";

export type { Logger };

/** Logs selected fields of an error only: drivers attach their connections, and so secrets, to their errors. */
function serializeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return { type: name, message, code, stack, ...(cause === undefined ? {} : { cause: serializeError(cause) }) };
}

/** The process's logger: JSON lines on standard error, since standard output is for a command's result. */
export function createLogger(level: string): Logger {
  return pino(
    { level, base: { pid: process.pid }, serializers: { err: serializeError } },
    pino.destination({ dest: 2, sync: true }),
  );
}
