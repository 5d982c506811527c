/** Builds and drops one index, of a table or of a partitioned one, without blocking writers for more than a moment. */
import type { EngineOptions } from "../engine.ts";
import { type Former, type FormerPartition, type Inheritance } from "./belongings.ts";
import { createStatement, dropStatement, tableOf, type Definition } from "./ddl.ts";
import { buildTree, sweepLoose } from "./partitions/build.ts";
import { dropTree, type TreeTools } from "./partitions/drop.ts";
import { stepsFor } from "./partitions/steps.ts";
import { readTree } from "./partitions/tree.ts";
import { CLEAR_UP_PATIENCE_MS, type IndexSession } from "./session.ts";
import { analyzeExpressions } from "./statistics.ts";

export interface BuildOptions {
  readonly label: string;
  /** the index whose place the new one takes: it is built in the same tablespace */
  readonly former: Former;
  readonly how: Inheritance;
}

/** The changes that an engine makes to indexes. */
export type Changes = ReturnType<typeof postgresChanges>;

export function postgresChanges(session: IndexSession, options: EngineOptions) {
  const { signal, onProgress } = options;

  async function isPartitioned(target: string): Promise<boolean> {
    const { schema, table } = tableOf(target);
    return (await session.query(IS_PARTITIONED, [schema, table])).length > 0;
  }

  /** @param tablespace "" is the default one; undefined: what the session's setting says */
  async function run(label: string, statement: string, tablespace?: string): Promise<void> {
    const patienceMs = signal.aborted && statement.startsWith("DROP") ? CLEAR_UP_PATIENCE_MS : undefined;
    if (tablespace !== undefined) {
      await session.query("SELECT set_config('default_tablespace', $1, false)", [tablespace]);
    }
    try {
      await session.runWatched(label, statement, patienceMs);
    } finally {
      if (tablespace !== undefined) await session.query("RESET default_tablespace").catch(() => undefined);
    }
  }

  /** Once the signal has fired, it is only cleared up, for some seconds and heedless of the signal. */
  const treeTools = (): TreeTools => {
    const common = { session, run, onProgress };
    return signal.aborted
      ? { ...common, signal: new AbortController().signal, maxWaitMs: CLEAR_UP_PATIENCE_MS }
      : { ...common, signal, maxWaitMs: options.maxWaitMs };
  };

  /** Goes on where an earlier process ended, if the table is partitioned. */
  async function build(
    target: string,
    name: string,
    definition: Definition,
    { label = name, former, how = "successor" }: Partial<BuildOptions> = {},
  ): Promise<void> {
    if (await isPartitioned(target)) {
      // While the old indexes exist, the new ones cannot have their names.
      const named = ({ name: own, ...part }: FormerPartition) =>
        how === "successor" || own === undefined ? part : { ...part, name: own };
      const parts = new Map(former?.partitions?.map((part) => [part.table, named(part)]));
      await buildTree(treeTools(), { target, name, definition }, { parts, how });
    } else {
      const statement = createStatement(target, name, definition);
      await run(`${target} ${label}`, statement, former && (former.tablespace ?? ""));
    }
  }

  /** After a cancellation it waits CLEAR_UP_PATIENCE_MS at most. */
  async function drop(target: string, name: string, label: string): Promise<void> {
    if (await isPartitioned(target)) {
      await dropTree(treeTools(), { target, name });
      await sweepLoose(treeTools(), { target, name });
    } else {
      await run(`${target} ${label}`, dropStatement(target, name));
    }
  }

  /** Drops what an interrupted build left beside the index itself. */
  async function sweep(target: string, name: string): Promise<void> {
    await sweepLoose(treeTools(), { target, name });
  }

  /** The statements that `build` would run now, in order. */
  async function statements(target: string, name: string, definition: Definition): Promise<readonly string[]> {
    if (!(await isPartitioned(target))) return [createStatement(target, name, definition)];
    const index = { target, name, definition };
    return stepsFor(index, await readTree(session, index, new Map())).flatMap((step) => step.statements);
  }

  const analyze = (target: string, name: string) => analyzeExpressions(session, target, name, onProgress);

  return { build, drop, sweep, statements, analyze };
}

const IS_PARTITIONED = `
  SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2 AND t.relkind = 'p'`;
