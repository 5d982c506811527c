import { pino, type Logger } from "pino";
import { printableJson } from "./printable.ts";

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
  const standardError = pino.destination({ dest: 2, sync: true });
  return pino(
    { level, base: { pid: process.pid }, serializers: { err: serializeError } },
    { write: (line) => void standardError.write(printableJson(line)) },
  );
}

/**
 * Takes what libraries print and what Node warns of into the log, so that a process whose standard error is its log writes
 * nothing else there.
 */
export function takeOver(log: Logger): void {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (...words: unknown[]) =>
      log[level](
        { from: "console" },
        words.map((word) => (word instanceof Error ? word.message : String(word))).join(" "),
      );
  Object.assign(console, {
    debug: at("debug"),
    log: at("info"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  });
  process.removeAllListeners("warning");
  process.on("warning", (err) => log.warn({ err }, "warning of the runtime"));
}
