/**
 * Replaces an index of PostgreSQL: the new index is built beside the old one, both are renamed in one transaction, then
 * the old one is dropped, so the table always has one of them. What hung on the old index is on the new one before they
 * are renamed. An earlier process may have died after any step.
 */
import pg from "pg";
import { sameForm } from "../../decision/normal-form.ts";
import type { Observation } from "../../decision/observation.ts";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { REPLACED as OLD, REPLACEMENT as NEW } from "../../manifest/reserved.ts";
import type { Proof, Replacement } from "../engine.ts";
import { describeFormer, inheritStatements, parseFormer, type Former, type Inheritance } from "./belongings.ts";
import { besideName, declaredDefinition, parseDefinition, qualified, tableOf, type Definition } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

/** Functions and settings of the engine. */
export interface ReplacementTools {
  readonly session: IndexSession;
  readonly prove?: Proof | undefined;
  readonly find: (target: string, name: string) => PostgresIndex;
  readonly look: (target: string) => Promise<Observation>;
  readonly build: (target: string, name: string, definition: Definition, options: BuildOptions) => Promise<void>;
  readonly drop: (target: string, name: string, label: string) => Promise<void>;
  readonly analyze: (target: string, name: string) => Promise<void>;
}

export interface BuildOptions {
  readonly label: string;
  /** the index whose place the new one takes: it is built in the same tablespace */
  readonly former: Former;
}

/** The new index of a replacement. */
interface Successor {
  readonly definition: Definition;
  /** an earlier process built it */
  readonly isBuilt?: boolean;
  readonly former: Former;
  readonly how: Inheritance;
  /** asked before the old index is dropped; without it a valid new index is enough */
  readonly prove?: Proof | undefined;
}

export function postgresReplacement(tools: ReplacementTools): Replacement {
  const { session, prove, find, look, build, drop, analyze } = tools;

  async function dropBeside(target: string, name: string, suffix: string): Promise<boolean> {
    const { schema, table } = tableOf(target);
    const beside = besideName(name, suffix);
    const [row] = await session.query<{ there: boolean }>(EXISTS, [schema, table, beside]);
    if (row?.there !== true) return false;
    const what = suffix === OLD ? "the replaced index" : "the leftover of an interrupted replacement";
    await drop(target, beside, `${name} (dropping ${what})`);
    return true;
  }

  /** Has the server finished the new index? An earlier process may have died while it was built. */
  async function isBuilt(target: string, name: string): Promise<boolean> {
    const { actual, declared } = await look(target);
    const [next, wanted] = [actual.find((one) => one.name === besideName(name, NEW)), declared.get(name)];
    if (!next?.valid || !wanted || wanted instanceof Error) return false;
    return sameForm(next.form, wanted.form);
  }

  async function swap(target: string, name: string, successor: Successor): Promise<void> {
    const { definition, former, how } = successor;
    const { schema } = tableOf(target);
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    await dropBeside(target, name, OLD);
    if (successor.isBuilt !== true) {
      await dropBeside(target, name, NEW);
      await build(target, next, definition, { label: `${name} (its replacement)`, former });
    }
    await inOneTransaction(await inheritStatements(session, schema, next, former, how));
    // With the statistics targets, and while the old index has its statistics still.
    await analyze(target, next);
    await rename(target, name, [name, old], [next, name], former.clustered === true);
    await dropReplaced(target, name, successor.prove);
  }

  async function dropReplaced(target: string, name: string, proof?: Proof): Promise<boolean> {
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    const { actual } = await look(target);
    const former = actual.find((index) => index.name === old);
    // An invalid old index, which a drop has begun to remove, serves no query, so no proof is needed.
    const fault = former?.valid ? await proof?.(target, name) : undefined;
    if (fault !== undefined) {
      const { definition = "" } = actual.find((index) => index.name === name) ?? {};
      await rename(target, name, [name, next], [old, name], parseFormer(definition).clustered === true);
      await dropBeside(target, name, NEW);
      throw new Error(`the old index stays, since the new one does not serve its contracts: ${fault}`);
    }
    return dropBeside(target, name, OLD);
  }

  /**
   * Renames both and gives the CLUSTER mark to the index that is called `name` then. It locks the indexes, and for the
   * mark it keeps other DDL off the table; it blocks neither readers nor writers.
   */
  async function rename(
    target: string,
    name: string,
    first: readonly [from: string, to: string],
    second: readonly [from: string, to: string],
    isClustered: boolean,
  ): Promise<void> {
    const { schema, quoted } = tableOf(target);
    await inOneTransaction([
      ...[first, second].map(
        ([from, to]) => `ALTER INDEX ${qualified(schema, from)} RENAME TO ${pg.escapeIdentifier(to)}`,
      ),
      ...(isClustered ? [`ALTER TABLE ${quoted} CLUSTER ON ${pg.escapeIdentifier(name)}`] : []),
    ]);
  }

  async function inOneTransaction(statements: readonly string[]): Promise<void> {
    if (statements.length === 0) return;
    await session.query("BEGIN");
    try {
      await session.query(`SET LOCAL lock_timeout = '3s'`);
      for (const statement of statements) await session.query(statement);
      await session.query("COMMIT");
    } catch (error) {
      await session.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }

  return {
    obstacle: () => undefined, // see objections.ts
    describe: describeFormer,

    async perform(target, name, found) {
      const definition = declaredDefinition(find(target, name));
      const former = parseFormer(found.definition ?? "");
      await swap(target, name, {
        ...{ definition, former, how: "successor", prove },
        isBuilt: await isBuilt(target, name),
      });
    },

    finish: (target, name) => dropReplaced(target, name, prove),
    abandon: (target, name) => dropBeside(target, name, NEW),

    async restore({ target, name, previous = "" }) {
      const former = parseFormer(previous);
      await swap(target, name, { definition: parseDefinition(former.definition), former, how: "as it was" });
      return undefined;
    },
  };
}

const EXISTS = `
  SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
                   JOIN pg_namespace n ON n.oid = t.relnamespace
                  WHERE n.nspname = $1 AND t.relname = $2 AND c.relname = $3) AS there`;
