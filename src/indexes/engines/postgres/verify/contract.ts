/** Verifies a contract on PostgreSQL: its plan with real values, the plan it would have with more data, its time. */
import { OperatorError } from "../../../../errors.ts";
import { messageOf } from "../../engine.ts";
import type { Contract, Param } from "../../../manifest/manifest.ts";
import type { PlanFacts } from "../../../contract/plan-facts.ts";
import { Explainer } from "./explain.ts";
import type { PostgresReader, Query } from "./reader.ts";
import { valuesFor } from "./sample.ts";
import { readTarget, type PostgresTarget } from "./target.ts";
import { FORCES, postgresReasons, servesAlone } from "./why.ts";
import {
  brokenShape,
  judgeContract,
  keepsShape,
  refused,
  type ContractEvidence,
  type Judgement,
} from "../../../contract/verdict.ts";

export interface PostgresContract {
  readonly reader: PostgresReader;
  readonly schema: string;
  readonly table: string;
  readonly contract: Contract;
  /** Names in this database of the indexes that may serve the contract, including its own. */
  readonly accepted: readonly string[];
  /** The name of the contract's own index; undefined for a query without an index. */
  readonly own: string | undefined;
  readonly limitMs: number;
}

interface Seen {
  readonly target: PostgresTarget;
  readonly evidence: ContractEvidence;
  readonly values: readonly unknown[];
}

const GENERIC =
  "a generic plan, made before the values are known, does not use the index: write values that never change into the statement";

export async function verifyOnPostgres(options: PostgresContract): Promise<Judgement> {
  const { reader, schema, contract, accepted, own } = options;
  let seen: Seen | undefined;
  try {
    seen = await reader.reading(schema, (query) => look(query, options));
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    return refused(`the server refuses the query: ${messageOf(error)}`);
  }
  if (!seen) return refused("there is no such table");
  const { target, evidence, values } = seen;
  const { plan, forced } = evidence;
  if (keepsShape(contract, accepted, plan) || keepsShape(contract, accepted, forced, true) || own === undefined) {
    return judgeContract(contract, accepted, evidence);
  }
  const index = target.indexes.find(({ name }) => name === own);
  if (!index?.valid) {
    // isReal: more data would not help.
    const reasons = [index ? "the index is invalid" : `there is no index ${own}`];
    return judgeContract(contract, accepted, { ...evidence, isReal: true, reasons });
  }
  const question = { reader, target, index, contract, values };
  const alone = await servesAlone(question);
  // The clone has no index but this one.
  if (keepsShape(contract, [own], alone, true))
    return judgeContract(contract, accepted, { ...evidence, forced: alone });
  return judgeContract(contract, accepted, { ...evidence, reasons: await postgresReasons(question) });
}

async function look(query: Query, options: PostgresContract): Promise<Seen | undefined> {
  const { schema, table, contract, accepted, own, limitMs } = options;
  const target = await readTarget(query, schema, table);
  if (!target) return undefined;
  const advice = target.isUnanalyzed ? [`${schema}.${table} has no statistics: ANALYZE it`] : [];
  const types = await new Explainer(query, target, contract, []).prepare();
  const index = target.indexes.find(({ name }) => name === own);
  const params = (contract.params ?? []) as readonly Param[];
  const { values, isReal } = await valuesFor(query, target, params, types, index?.predicate ?? null);
  const explainer = new Explainer(query, target, contract, values);

  const { plan, ms, isCutOff } = await explainer.explain([]);
  let forced: PlanFacts | undefined;
  let force: readonly string[] = [];
  if (!keepsShape(contract, accepted, plan)) {
    const broken = (facts: PlanFacts) => brokenShape(contract, accepted, facts, true).length;
    for (const off of FORCES) {
      // If the first EXPLAIN ANALYZE hit the limit, only plan.
      const other = isCutOff ? await explainer.plan(off) : (await explainer.explain(off)).plan;
      if (!forced || broken(other) < broken(forced)) [forced, force] = [other, off];
      if (broken(forced) === 0) break;
    }
  }
  const isHeld = keepsShape(contract, accepted, forced ?? plan, forced !== undefined);
  if (isHeld && values.length > 0) {
    const generic = await explainer.genericPlan(force);
    if (!keepsShape(contract, accepted, generic, forced !== undefined)) advice.push(GENERIC);
  }
  const { maxMs } = contract;
  const time = isCutOff ? undefined : maxMs === undefined ? ms : await explainer.measure(maxMs);
  const isTooLong = isCutOff || (maxMs !== undefined && time === undefined);
  const evidence: ContractEvidence = {
    plan,
    forced,
    size: target.size,
    isReal,
    reasons: [],
    advice,
    ms: time,
    ...(isTooLong ? { endedAfterMs: limitMs } : {}),
  };
  return { target, values, evidence };
}
