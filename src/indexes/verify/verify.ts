/**
 * Verifies contracts: the server explains the query of each contract on the live data, with values from that data.
 * Changes nothing and blocks nobody.
 */

import { placedContracts, type Placed } from "../contract/contracts.ts";
import type { Judgement } from "../contract/verdict.ts";
import { verifiersOf } from "../engines/verifiers.ts";
import { lintManifest } from "../engines/lint.ts";
import type { Contract, EngineName } from "../manifest/manifest.ts";
import { expandRolling, windowsOf, type Window } from "../manifest/rolling.ts";
import { NamesInDatabase, type NamingOptions } from "./serving-names.ts";

export interface VerifyEntry extends Judgement {
  engine: EngineName;
  /** A collection, or `schema.table`. */
  target: string;
  /** The declared name; null for a query that belongs to no index. */
  index: string | null;
  contract: string;
  mode: NonNullable<Contract["mode"]>;
  maxMs: number | null;
  promised: NonNullable<Contract["promised"]> | null;
}

export interface VerifyReport {
  entries: VerifyEntry[];
  /** Every contract is kept. `could use` counts as kept with little data or mode `could`, `no data` always. */
  ok: boolean;
}

export interface VerifyOptions extends NamingOptions {
  /** Only contracts of this target or of these indexes. */
  only?: { readonly target?: string; readonly indexes?: readonly string[] };
  /** Limit for one statement; default 10 s. */
  limitMs?: number;
  /** The time that selects the current windows of rolling indexes; default now. */
  now?: Date;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

const LIMIT_MS = 10_000;

/** @throws UsageError (manifest), UnreachableError, and the signal's reason between two contracts. */
export async function verifyIndexes(options: VerifyOptions): Promise<VerifyReport> {
  const { onProgress, signal, now = new Date() } = options;
  lintManifest(options.manifest);
  const manifest = expandRolling(options.manifest, now);
  const windows = windowsOf(options.manifest, now);
  const placed = placedContracts(manifest).filter((one) => isWanted(one, windows, options.only));
  const verifiers = verifiersOf(options, options.limitMs ?? LIMIT_MS);
  const names = new NamesInDatabase({ ...options, manifest }, windows);
  const entries: VerifyEntry[] = [];
  try {
    for (const one of placed) {
      signal?.throwIfAborted();
      const { engine, target, index, contract } = one;
      onProgress?.(`${engine} ${target}: ${contract.name}`);
      const verifier = verifiers[engine];
      const serving = await names.of(one, await verifier.indexNames(target));
      const judgement = await verifier.verify(target, contract, serving);
      const { mode = "uses", maxMs = null, promised = null } = contract;
      const place = { engine, target, index: index?.name ?? null, contract: contract.name };
      entries.push({ ...place, mode, maxMs, promised, ...judgement });
    }
  } finally {
    await Promise.all(Object.values(verifiers).map((verifier) => verifier.close()));
  }
  return { entries, ok: entries.every(({ ok }) => ok) };
}

/** `only` names a rolling index by its declared name or by that of its window. */
function isWanted(
  { target, index }: Placed,
  windows: ReadonlyMap<string, Window>,
  only: VerifyOptions["only"],
): boolean {
  if (only?.target !== undefined && only.target !== target) return false;
  if (only?.indexes === undefined) return true;
  const base = index && windows.get(index.name)?.base;
  return (
    index !== undefined && (only.indexes.includes(index.name) || (base !== undefined && only.indexes.includes(base)))
  );
}
