import type { z } from "zod";
import type { ContextOf, Need } from "./context.ts";

/** Work with a name and a list of its needs. */
export interface Task<Input, Result, N extends Need = Need> {
  readonly name: string;
  /** only these are opened for it; other servers may be down */
  readonly needs: readonly N[];
  /** waiting for a permit does not count; undefined = no limit, since an operator waits and may interrupt it */
  readonly timeoutMs?: number;
  run(input: Input, context: ContextOf<N>): Promise<Result>;
}

/** A task that a queue carries. One file, one job; it may run twice: its id only saves traffic. */
export interface Job<
  Name extends string = string,
  Payload extends z.ZodType = z.ZodType,
  Result = unknown,
  N extends Need = Need,
> extends Task<z.output<Payload>, Result, N> {
  /** wire name: never changes */
  readonly name: Name;
  /** wire names of earlier versions, which are still understood */
  readonly formerNames?: readonly string[];
  /** a public format: a version `v`, the id of a row in PostgreSQL, and little else */
  readonly payload: Payload;
  readonly timeoutMs: number;
  /** it takes or gives back a permit at least so often, unless it hangs; by default its time limit */
  readonly quietMs?: number;
  /** same work, same id; ":" is not allowed in it */
  id(payload: z.output<Payload>): string;
}

/** Gives a job its type. */
export function defineJob<Name extends string, Payload extends z.ZodType, Result, N extends Need>(
  job: Job<Name, Payload, Result, N>,
): Job<Name, Payload, Result, N> {
  return job;
}

/** Gives a task its type. */
export function defineTask<Input, Result, N extends Need>(task: Task<Input, Result, N>): Task<Input, Result, N> {
  return task;
}

/** An error that no retry can mend, such as a payload that does not parse. */
export class PermanentError extends Error {
  override readonly name = "PermanentError";
}

/** A payload of a later version than this process knows: it is left to a newer one. */
export class NewerVersionError extends Error {
  override readonly name = "NewerVersionError";
  readonly version: number;

  constructor(version: number) {
    super(`payload of version ${version}`);
    this.version = version;
  }
}
