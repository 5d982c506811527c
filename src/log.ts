import { pino, type Logger } from "pino";

export type { Logger };

/** The process's logger: JSON lines on standard error, so that standard output stays a command's answer. */
export function createLogger(level: string): Logger {
  return pino({ level, base: { pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
}
