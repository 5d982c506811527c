/**
 * Replaces an index of PostgreSQL: the new index is built beside the old one, both are renamed in one transaction, then
 * the old one is dropped, so the table always has one of them. What hung on the old index is on the new one before they
 * are renamed. An earlier process may have died after any step.
 */
import pg from "pg";
import { sameForm } from "../../decision/normal-form.ts";
import type { ActualIndex, Observation } from "../../decision/observation.ts";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { REPLACED as OLD, REPLACEMENT as NEW } from "../../manifest/reserved.ts";
import type { Proof, Replacement } from "../engine.ts";
import { describeFormer, inheritStatements, parseFormer, type Former, type Inheritance } from "./belongings.ts";
import { besideName, declaredDefinition, parseDefinition, qualified, tableOf, type Definition } from "./ddl.ts";
import { inTransaction } from "./brief.ts";
import type { Changes } from "./changes.ts";
import { normalForms } from "./normal-forms.ts";
import type { IndexSession } from "./session.ts";

const LOCK_TIMEOUT = "3s";

/** Functions and settings of the engine. */
export interface ReplacementTools {
  readonly session: IndexSession;
  readonly prove?: Proof | undefined;
  readonly find: (target: string, name: string) => PostgresIndex;
  readonly look: (target: string) => Promise<Observation>;
  readonly changes: Changes;
}

/** The new index of a replacement. */
interface Successor {
  readonly definition: Definition;
  readonly former: Former;
  readonly how: Inheritance;
  /** asked before the old index is dropped; without it a valid new index is enough */
  readonly prove?: Proof | undefined;
}

export function postgresReplacement(tools: ReplacementTools): Replacement {
  const { session, prove, find, look } = tools;
  const { build, drop, sweep, analyze } = tools.changes;

  async function dropBeside(target: string, name: string, suffix: string): Promise<boolean> {
    const { schema, table } = tableOf(target);
    const beside = besideName(name, suffix);
    const [row] = await session.query<{ there: boolean }>(EXISTS, [schema, table, beside]);
    if (row?.there !== true) return false;
    const what = suffix === OLD ? "the replaced index" : "the leftover of an interrupted replacement";
    await drop(target, beside, `${name} (dropping ${what})`);
    return true;
  }

  /** Has an earlier process finished or, on a partitioned table, begun this very index? */
  async function isTheSame(target: string, next: ActualIndex, definition: Definition): Promise<boolean> {
    if ((!next.valid && next.parts === undefined) || next.definition === undefined) return false;
    const present = parseDefinition(parseFormer(next.definition).definition);
    const [wanted, found] = await normalForms(session, target, [definition, present]);
    return wanted !== undefined && found !== undefined && sameForm(wanted, found);
  }

  async function swap(target: string, name: string, successor: Successor): Promise<void> {
    const { definition, former, how } = successor;
    const { schema } = tableOf(target);
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    await dropBeside(target, name, OLD);
    const present = (await look(target)).actual.find((index) => index.name === next);
    const isTaken = present !== undefined && (await isTheSame(target, present, definition));
    if (!isTaken) await dropBeside(target, name, NEW);
    if (!isTaken || !present.valid) {
      await build(target, next, definition, { label: `${name} (its replacement)`, former, how });
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
    if (statements.length > 0) await inTransaction(session, statements, LOCK_TIMEOUT);
  }

  return {
    obstacle: () => undefined, // see objections.ts
    describe: describeFormer,

    async perform(target, name, found) {
      const definition = declaredDefinition(find(target, name));
      const former = parseFormer(found.definition ?? "");
      await swap(target, name, { definition, former, how: "successor", prove });
    },

    finish: (target, name) => dropReplaced(target, name, prove),
    async abandon(target, name) {
      const isDropped = await dropBeside(target, name, NEW);
      await sweep(target, besideName(name, NEW));
      return isDropped;
    },

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
