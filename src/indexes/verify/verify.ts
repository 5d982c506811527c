/**
 * Verifies contracts: every query that an index exists for is explained on the live data, with values from it, by the
 * server that will run it. Nothing is changed, and nobody waits.
 */
import { UnreachableError } from "../../errors.ts";
import { lintManifest } from "../manifest/lint.ts";
import type { Contract, Manifest, EngineName } from "../manifest/manifest.ts";
import { withEngines, type IndexTargets } from "../engines/open.ts";
import { tableOf } from "../engines/postgres/ddl.ts";
import { expandRolling, isOlderWindow, windowsOf, type Window } from "../manifest/rolling.ts";
import { lintContracts, placedContracts, type Placed } from "../contract/contracts.ts";
import { isFerret, type MongoCollection, readCollection, verifyOnMongo } from "../engines/mongo/verify/contract.ts";
import { PostgresReader } from "../engines/postgres/verify/reader.ts";
import { verifyOnPostgres } from "../engines/postgres/verify/contract.ts";
import type { Judgement } from "../contract/verdict.ts";
import { stateOf } from "../decision/state.ts";

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
  /** Every contract is kept; `could use` counts where there is little data or it says so itself, `no data` always. */
  ok: boolean;
}

export interface VerifyOptions extends IndexTargets {
  /** Only contracts of this target, only those of these indexes. */
  only?: { readonly target?: string; readonly indexes?: readonly string[] };
  /** Declared name -> the one that the index has at the moment, such as while it is being replaced. */
  physicalNames?: Readonly<Record<string, string>>;
  /** What one statement may take; 10 s unless told. */
  limitMs?: number;
  /** Tells which windows of rolling indexes are in force; now unless told. */
  now?: Date;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

const LIMIT_MS = 10_000;

/** @throws UsageError (manifest), UnreachableError, and the signal's reason between two contracts. */
export async function verifyIndexes(options: VerifyOptions): Promise<VerifyReport> {
  const { onProgress, signal, now = new Date() } = options;
  const manifest = expandRolling(options.manifest, now);
  lintManifest(manifest);
  const windows = windowsOf(options.manifest, now);
  const placed = placedContracts(manifest).filter((one) => isWanted(one, windows, options.only));
  lintContracts(placed, manifest.project);
  const servers = new Servers({ ...options, manifest }, windows);
  const entries: VerifyEntry[] = [];
  try {
    for (const one of placed) {
      signal?.throwIfAborted();
      const { engine, target, index, contract } = one;
      onProgress?.(`${engine} ${target}: ${contract.name}`);
      const judgement = await servers.verify(one);
      const { mode = "uses", maxMs = null, promised = null } = contract;
      const place = { engine, target, index: index?.name ?? null, contract: contract.name };
      entries.push({ ...place, mode, maxMs, promised, ...judgement });
    }
  } finally {
    await servers.close();
  }
  return { entries, ok: entries.every(({ ok }) => ok) };
}

/** The window of a rolling index is meant by the index's name too. */
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

/** Names in a database that do the work of a contract's index. */
interface Names {
  /** undefined for a query that belongs to no index */
  readonly own: string | undefined;
  readonly accepted: readonly string[];
}

/** Both databases, each opened when its first contract is due. */
class Servers {
  readonly #options: VerifyOptions;
  readonly #windows: ReadonlyMap<string, Window>;
  readonly #limitMs: number;
  #reader: PostgresReader | undefined;
  #isFerret: boolean | undefined;
  readonly #collections = new Map<string, MongoCollection>();
  readonly #equals = new Map<string, Promise<ReadonlyMap<string, string>>>();

  constructor(options: VerifyOptions, windows: ReadonlyMap<string, Window>) {
    this.#options = options;
    this.#windows = windows;
    this.#limitMs = options.limitMs ?? LIMIT_MS;
  }

  async close(): Promise<void> {
    await this.#reader?.close();
  }

  async verify(placed: Placed): Promise<Judgement> {
    const { target, contract } = placed;
    if (placed.engine === "mongodb") {
      const collection = await this.#collection(target);
      const existing = collection.specs.map(({ name }) => String(name));
      return verifyOnMongo({ target: collection, contract, ...(await this.#names(placed, existing)) });
    }
    const { schema, table } = tableOf(target);
    this.#reader ??= await PostgresReader.open(this.#options.databaseUrl, this.#limitMs);
    const names = await this.#names(placed, await this.#reader.indexNames(schema, table));
    return verifyOnPostgres({ reader: this.#reader, schema, table, contract, ...names, limitMs: this.#limitMs });
  }

  async #collection(name: string): Promise<MongoCollection> {
    const { mongo: db } = this.#options;
    this.#isFerret ??= await isFerret(db);
    const known = this.#collections.get(name);
    if (known) return known;
    const read = await readCollection({ db, name, isFerret: this.#isFerret, limitMs: this.#limitMs });
    this.#collections.set(name, read);
    return read;
  }

  async #names({ engine, target, index, contract }: Placed, existing: readonly string[]): Promise<Names> {
    const { orUses = [] } = contract;
    if (!index) return { own: undefined, accepted: orUses };
    const physical = this.#options.physicalNames?.[index.name];
    if (physical !== undefined) return { own: physical, accepted: [physical, ...orUses] };
    const window = this.#windows.get(index.name);
    const own =
      existing.find((name) => name === index.name) ??
      // Until the next window is built, the last one does the work.
      existing
        .filter((name) => window && isOlderWindow(name, window))
        .sort()
        .at(-1) ??
      (existing.length > 0 ? (await this.#equalNames(engine, target)).get(index.name) : undefined) ??
      index.name;
    return { own, accepted: [own, ...orUses] };
  }

  /** Declared name -> that of an index with the same definition, which does its work. */
  #equalNames(engine: EngineName, target: string): Promise<ReadonlyMap<string, string>> {
    const key = `${engine} ${target}`;
    // A role without the right to compare definitions finds none.
    const none = (error: unknown) => {
      if (error instanceof UnreachableError) throw error;
      return new Map<string, string>();
    };
    const found = this.#equals.get(key) ?? this.#findEqual(engine, target).catch(none);
    this.#equals.set(key, found);
    return found;
  }

  #findEqual(engine: EngineName, target: string): Promise<ReadonlyMap<string, string>> {
    const { manifest, mongo, databaseUrl } = this.#options;
    const { project, version } = manifest;
    const part: Manifest =
      engine === "mongodb"
        ? { version, project, mongo: { [target]: manifest.mongo?.[target] ?? [] } }
        : { version, project, postgres: { [target]: manifest.postgres?.[target] ?? [] } };
    return withEngines({ manifest: part, mongo, databaseUrl }, "look", async ({ engines }) => {
      const names = new Map<string, string>();
      const view = await engines[0]?.observe(target);
      if (!view) return names;
      for (const name of view.declared.keys()) {
        const state = stateOf(view, name);
        if (state.state === "present" && state.as !== undefined) names.set(name, state.as);
      }
      return names;
    });
  }
}
