/** Checks that a contract's query of MongoDB only reads, runs no JavaScript and ends. Pure. */
import type { Contract } from "../manifest/manifest.ts";

/** Stages and operators that no contract may have, at whatever depth, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  $out: "it writes a collection",
  $merge: "it writes into a collection",
  $function: "it runs JavaScript on the server",
  $accumulator: "it runs JavaScript on the server",
  $where: "it runs JavaScript on the server",
  $changeStream: "it never ends",
};

/** A fault for each stage or operator of the query that is refused. */
export function readingFaults({ find, count, aggregate }: Pick<Contract, "find" | "count" | "aggregate">): string[] {
  return [...new Set(operatorsOf({ find, count, aggregate }))]
    .filter((name) => Object.hasOwn(REFUSED, name))
    .map((name) => `${name} cannot be in a contract: ${REFUSED[name]}`);
}

function operatorsOf(value: unknown): string[] {
  if (value instanceof Map) return operatorsOf(Object.fromEntries(value));
  if (typeof value !== "object" || value === null || "_bsontype" in value) return [];
  return Object.entries(value).flatMap(([key, item]) => [key, ...operatorsOf(item)]);
}
