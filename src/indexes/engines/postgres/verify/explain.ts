/** Runs EXPLAIN for one statement in the caller's transaction, and measures its whole answer. */
import pg from "pg";
import type { Contract } from "../../../manifest/manifest.ts";
import type { PlanFacts } from "../../../contract/plan-facts.ts";
import { readPostgresPlan, scanOfTarget, type PlanNode, type Relations } from "./plan.ts";
import type { Query } from "./reader.ts";
import { shortest } from "../../../contract/shortest.ts";

const CANCELLED = "57014";
const PREPARED = "tallyman_contract";

export interface Explained {
  readonly plan: PlanFacts;
  /** Planning and execution; undefined if the execution did not end. */
  readonly ms?: number;
  /** The execution hit the limit; then the plan has no counts. */
  readonly isCutOff: boolean;
}

interface Answer {
  readonly Plan: PlanNode;
  readonly "Planning Time"?: number;
  readonly "Execution Time"?: number;
}

export class Explainer {
  readonly #query: Query;
  readonly #relations: Relations;
  readonly #contract: Contract;
  readonly #values: readonly unknown[];

  constructor(query: Query, relations: Relations, contract: Contract, values: readonly unknown[]) {
    this.#query = query;
    this.#relations = relations;
    this.#contract = contract;
    this.#values = values;
  }

  /** Executes the statement; only plans it if that takes over the limit. @param off planner settings to switch off */
  async explain(off: readonly string[]): Promise<Explained> {
    try {
      const answer = await this.#explain("ANALYZE, BUFFERS, TIMING OFF", off);
      const ms = (answer["Planning Time"] ?? 0) + (answer["Execution Time"] ?? 0);
      return { plan: readPostgresPlan(answer.Plan, this.#relations), ms, isCutOff: false };
    } catch (error) {
      if (!isTimeout(error)) throw error;
      return { plan: await this.plan(off), isCutOff: true };
    }
  }

  /** Plans the statement without executing it. */
  async plan(off: readonly string[]): Promise<PlanFacts> {
    return readPostgresPlan((await this.#explain("COSTS", off)).Plan, this.#relations);
  }

  /** The generic plan, which a prepared statement may use for all values. Does not execute the statement. */
  async genericPlan(off: readonly string[]): Promise<PlanFacts> {
    const nulls = this.#values.map(() => "NULL").join(", ");
    const sql = `EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE ${PREPARED} (${nulls})`;
    return readPostgresPlan((await this.#attempt(sql, [], off, "force_generic_plan")).Plan, this.#relations);
  }

  /** The node that reads the target; undefined if none does. */
  async targetScan(off: readonly string[]): Promise<PlanNode | undefined> {
    return scanOfTarget((await this.#explain("COSTS", off)).Plan, this.#relations);
  }

  /**
   * Milliseconds until a client has the whole answer. EXPLAIN cannot measure that: it sends no rows and unpacks no
   * documents. Undefined if it takes over the limit.
   */
  async measure(maxMs: number): Promise<number | undefined> {
    const timed = await shortest(maxMs, async () => {
      await this.#query("SAVEPOINT measure");
      try {
        return await this.#query(this.#contract.sql as string, this.#values);
      } catch (error) {
        if (!isTimeout(error)) throw error;
        return undefined;
      } finally {
        await this.#query("ROLLBACK TO SAVEPOINT measure");
      }
    });
    return timed?.ms;
  }

  /**
   * Leaves the statement prepared, for the generic plan. PREPARE also refuses anything that is no query.
   * @returns the types of its parameters
   */
  async prepare(): Promise<string[]> {
    const known = () =>
      this.#query<{ types: string[] }>(
        "SELECT parameter_types::text[] AS types FROM pg_prepared_statements WHERE name = $1",
        [PREPARED],
      );
    if ((await known()).length > 0) await this.#query(`DEALLOCATE ${PREPARED}`); // it survives its transaction
    await this.#query(`PREPARE ${PREPARED} AS ${this.#contract.sql as string}`);
    return (await known())[0]?.types ?? [];
  }

  #explain(how: string, off: readonly string[]): Promise<Answer> {
    const sql = `EXPLAIN (FORMAT JSON, VERBOSE, ${how}) ${this.#contract.sql as string}`;
    return this.#attempt(sql, this.#values, off, "force_custom_plan");
  }

  /** Under a savepoint: rolling back to it undoes the settings and works after a timeout too. */
  async #attempt(sql: string, values: readonly unknown[], off: readonly string[], mode: string): Promise<Answer> {
    await this.#query("SAVEPOINT attempt");
    try {
      await this.#query(
        `SELECT set_config(name, 'off', true) FROM unnest($1::text[]) AS name
         UNION ALL SELECT set_config('plan_cache_mode', $2, true)`,
        [off, mode],
      );
      const [row] = await this.#query<{ "QUERY PLAN": Answer[] }>(sql, values);
      const [answer] = row?.["QUERY PLAN"] ?? [];
      if (!answer) throw new Error("EXPLAIN answered nothing");
      return answer;
    } finally {
      await this.#query("ROLLBACK TO SAVEPOINT attempt");
    }
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === CANCELLED;
}
