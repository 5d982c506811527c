import { pino, type Logger } from "pino";

export type { Logger };

/** An error as it is logged: the drivers hang their connections, and with them secrets, on theirs. */
function serializeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return { type: name, message, code, stack, ...(cause === undefined ? {} : { cause: serializeError(cause) }) };
}

/** The process's logger: JSON lines on standard error, so that standard output stays a command's answer. */
export function createLogger(level: string): Logger {
  return pino(
    { level, base: { pid: process.pid }, serializers: { err: serializeError } },
    pino.destination({ dest: 2, sync: true }),
  );
}
