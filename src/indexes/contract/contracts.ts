/** The contracts of a manifest, each with its target, and the faults that show without asking a server. Pure. */
import { placedQueries, type Fault } from "../manifest/fault.ts";
import type {
  Contract,
  Manifest,
  MongoIndex,
  Param,
  PostgresIndex,
  SampledParam,
  EngineName,
} from "../manifest/manifest.ts";
import { expressionFault } from "../manifest/sql-text.ts";
import { placeholdersOf } from "./placeholders.ts";
import { readingFaults } from "./reading.ts";
import { shiftMs } from "./shift.ts";
import { parameterCount, statementFault } from "./statement.ts";

interface Common {
  /** a collection, or `schema.table` */
  readonly target: string;
  readonly contract: Contract;
}

/** A contract and its index; a query of `manifest.queries` has no index. */
export type Placed =
  | (Common & { readonly engine: "mongodb"; readonly index?: MongoIndex })
  | (Common & { readonly engine: "postgres"; readonly index?: PostgresIndex });

/**
 * In the order of the manifest: the contracts of each index, then the queries without an index. Contracts of an engine
 * that the selection (`select`) took out of the manifest are left out.
 */
export function placedContracts(manifest: Manifest): Placed[] {
  const { mongo = {}, postgres = {}, queries = {} } = manifest;
  const placed: Placed[] = [
    ...Object.entries(mongo).flatMap(([of, declared]) =>
      declared.flatMap((index) =>
        (index.contracts ?? []).map((contract): Placed => ({ engine: "mongodb", target: of, index, contract })),
      ),
    ),
    ...Object.entries(postgres).flatMap(([of, declared]) =>
      declared.flatMap((index) =>
        (index.contracts ?? []).map((contract): Placed => ({ engine: "postgres", target: of, index, contract })),
      ),
    ),
    ...Object.entries(queries).flatMap(([of, contracts]) =>
      contracts.map((contract): Placed => ({ engine: engineOf(contract), target: of, contract })),
    ),
  ];
  const has: Record<EngineName, boolean> = {
    mongodb: manifest.mongo !== undefined,
    postgres: manifest.postgres !== undefined,
  };
  const isQueryOnly = !has.mongodb && !has.postgres;
  return placed.filter(({ engine }) => has[engine] || isQueryOnly);
}

function engineOf(contract: Contract): EngineName {
  return contract.sql === undefined ? "mongodb" : "postgres";
}

/** The faults of all contracts. Pure. */
export function contractFaults(manifest: Manifest): Fault[] {
  return placedQueries(manifest).flatMap(({ owner, target, place, path, contracts }) => {
    const seen = new Set<string>();
    return contracts.flatMap((contract, at) => {
      const messages = [
        ...(seen.has(contract.name) ? ["another contract has this name"] : []),
        ...queryFaults(contract, owner === "queries" ? engineOf(contract) : ENGINES[owner]),
        ...(owner === "queries" && contract.sql !== undefined && !/^[^.]+\../.test(target)
          ? ["its table must be given as schema.table"]
          : []),
        ...(contract.mode === "cannot" && (contract.because ?? "") === ""
          ? ['it has mode "cannot" and must give the reason in because']
          : []),
      ];
      seen.add(contract.name);
      return messages.map((fault) => ({
        ...{ path: [...path, at], place, message: `contract "${contract.name}": ${fault}` },
      }));
    });
  });
}

const ENGINES = { mongo: "mongodb", postgres: "postgres" } as const;

function queryFaults(contract: Contract, engine: EngineName): string[] {
  const { find, count, aggregate, sql, params } = contract;
  const kinds = [find, count, aggregate, sql].filter((query) => query !== undefined).length;
  if (kinds !== 1) return ["it needs one query: find, count, aggregate or sql"];
  if (engineOf(contract) !== engine) return [`its query is not one for ${engine}`];
  const faults = Object.values(params ?? {})
    .filter(isSample)
    .filter(({ shift }) => shift !== undefined && shiftMs(shift) === undefined)
    .map(({ shift }) => `the shift "${shift}" is not understood; write "-15d" or "+2h" (s, m, h, d, w)`);
  if (sql !== undefined) {
    const fault = statementFault(sql);
    if (fault !== undefined) faults.push(fault);
    const given = Array.isArray(params) ? params.length : 0;
    if (params !== undefined && !Array.isArray(params))
      faults.push("its params must be a list, in the order of $1, $2");
    else if (given !== parameterCount(sql))
      faults.push(`its SQL has ${parameterCount(sql)} parameters, but params gives ${given}`);
    for (const { sample } of Object.values(params ?? {}).filter(isSample)) {
      const wrong = expressionFault(sample);
      if (wrong !== undefined) faults.push(`the sample "${sample}" is not one SQL expression: ${wrong}`);
    }
    return faults;
  }
  faults.push(...readingFaults(contract));
  if (Array.isArray(params)) return [...faults, "its params must be by name"];
  for (const { name, field } of placeholdersOf(contract)) {
    if (field === undefined && !Object.hasOwn(params ?? {}, name)) {
      faults.push(`"$p:${name}" is compared with no field, so no value can be sampled; give it in params`);
    }
  }
  return faults;
}

export function isSample(param: Param | undefined): param is SampledParam {
  return typeof param === "object" && param !== null && !Array.isArray(param);
}
