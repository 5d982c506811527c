/** The exit codes of commands. Scripts depend on these numbers. */
export const EXIT = {
  done: 0,
  wrongUse: 1,
  found: 2,
  locked: 3,
  failed: 4,
  unreachable: 5,
  interrupted: 130,
} as const;

/**
 * An error whose message is for the operator: it names the field and the fix. The command line prints the message
 * without a stack, and exits with `exitCode`.
 */
export class OperatorError extends Error {
  override readonly name: string = "OperatorError";
  readonly exitCode: number;
  /** the message, a line a string: what an id in it holds breaks no line */
  readonly lines: readonly string[];

  constructor(message: string | readonly string[], exitCode: number, options?: ErrorOptions) {
    const lines = typeof message === "string" ? [message] : message;
    super(lines.join("\n"), options);
    this.exitCode = exitCode;
    this.lines = lines;
  }
}

/** Wrong use or wrong configuration: a bad flag, setting, date, an unknown tenant, a database without migrations. */
export class UsageError extends OperatorError {
  override readonly name = "UsageError";
  constructor(message: string | readonly string[], options?: ErrorOptions) {
    super(message, EXIT.wrongUse, options);
  }
}

/** Another process holds the lock or the lease. */
export class LockedError extends OperatorError {
  override readonly name = "LockedError";
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.locked, options);
  }
}

/** The work failed or was cancelled. */
export class WorkFailedError extends OperatorError {
  override readonly name = "WorkFailedError";
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.failed, options);
  }
}

/** A server did not answer. */
export class UnreachableError extends OperatorError {
  override readonly name = "UnreachableError";
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT.unreachable, options);
  }
}

/**
 * What a member of a replica set answers that shuts down or is no primary any more: ShutdownInProgress,
 * PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk,
 * NotPrimaryOrSecondary. The driver tries the first command of a read once more, and no later batch.
 */
const NO_PRIMARY: ReadonlySet<unknown> = new Set([91, 189, 10107, 11600, 11602, 13435, 13436]);

/**
 * Does this error of a driver mean the loss of a server or of the connection to it, so that the work itself is not at
 * fault? Decided by SQLSTATE (08 connection, 57P0 ended by the server, 53 out of resources, 25P03 and 25P04 ended in a
 * transaction), the system's error codes, the class names of the MongoDB driver, and MongoDB's codes of an election.
 */
export function isConnectionLoss(error: unknown): boolean {
  const { code, name, message } = error as { code?: unknown; name?: string; message?: string };
  if (typeof code === "string" && /^(08|57P0|53|25P0[34]|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOST)/.test(code))
    return true;
  if (name === "MongoServerError" && NO_PRIMARY.has(code)) return true;
  if (/^Mongo(Network|ServerSelection|NotConnected|TopologyClosed|PoolCleared)/.test(name ?? "")) return true;
  return /^(connection terminated|connection is closed|query read timeout|timeout exceeded when trying to connect|client .* not queryable)/i.test(
    message ?? "",
  );
}

/** As isConnectionLoss(), or the session leads to a server that takes no writes any more (SQLSTATE 25006). */
export function isLostForWrites(error: unknown): boolean {
  return isConnectionLoss(error) || (error as { code?: unknown }).code === "25006";
}
