/**
 * Replaces an index of PostgreSQL: the new index is built beside the old one, both are renamed in one transaction, then
 * the old one is dropped, so the table always has one of them. An earlier process may have died after any step.
 */
import pg from "pg";
import { sameForm } from "../../decision/normal-form.ts";
import type { Observation } from "../../decision/observation.ts";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { REPLACED as OLD, REPLACEMENT as NEW } from "../../manifest/reserved.ts";
import type { Proof, Replacement } from "../engine.ts";
import { besideName, definitionTail, tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

/** Functions and settings of the engine. */
export interface ReplacementTools {
  readonly session: IndexSession;
  readonly prove?: Proof | undefined;
  readonly find: (target: string, name: string) => PostgresIndex;
  readonly look: (target: string) => Promise<Observation>;
  readonly build: (target: string, name: string, unique: boolean, tail: string, label: string) => Promise<void>;
  readonly drop: (target: string, name: string, label: string) => Promise<void>;
}

export function postgresReplacement({ session, prove, find, look, build, drop }: ReplacementTools): Replacement {
  async function exists(target: string, name: string): Promise<boolean> {
    const { schema, table } = tableOf(target);
    const [row] = await session.query<{ there: boolean }>(EXISTS, [schema, table, name]);
    return row?.there === true;
  }

  async function dropBeside(target: string, name: string, suffix: string): Promise<boolean> {
    const beside = besideName(name, suffix);
    if (!(await exists(target, beside))) return false;
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

  /** @param proof asked before the old index is dropped; without it a valid new index is enough */
  async function swap(
    target: string,
    name: string,
    definition: { unique: boolean; tail: string } | "built",
    proof?: Proof,
  ): Promise<void> {
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    await dropBeside(target, name, OLD);
    if (definition !== "built") {
      await dropBeside(target, name, NEW);
      await build(target, next, definition.unique, definition.tail, `${name} (its replacement)`);
    }
    await rename(target, [name, old], [next, name]);
    await dropReplaced(target, name, proof);
  }

  async function dropReplaced(target: string, name: string, proof?: Proof): Promise<boolean> {
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    const former = (await look(target)).actual.find((index) => index.name === old);
    // An invalid old index, which a drop has begun to remove, serves no query, so no proof is needed.
    const fault = former?.valid ? await proof?.(target, name) : undefined;
    if (fault !== undefined) {
      await rename(target, [name, next], [old, name]);
      await dropBeside(target, name, NEW);
      throw new Error(`the old index stays, since the new one does not serve its contracts: ${fault}`);
    }
    return dropBeside(target, name, OLD);
  }

  /** Renames in one transaction. It locks the indexes only, and blocks neither readers nor writers. */
  async function rename(target: string, ...pairs: readonly (readonly [from: string, to: string])[]): Promise<void> {
    const { schema } = tableOf(target);
    await session.query("BEGIN");
    try {
      await session.query(`SET LOCAL lock_timeout = '3s'`);
      for (const [from, to] of pairs) {
        const quoted = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(from)}`;
        await session.query(`ALTER INDEX ${quoted} RENAME TO ${pg.escapeIdentifier(to)}`);
      }
      await session.query("COMMIT");
    } catch (error) {
      await session.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }

  return {
    obstacle(_target, name, { guards = "", definition }) {
      if (definition === undefined) return "Its definition cannot be read, so a rollback could not bring it back.";
      return RECIPES[guards] === undefined ? undefined : `${name} ${RECIPES[guards]}`;
    },

    async perform(target, name) {
      const index = find(target, name);
      const definition = { unique: index.unique === true, tail: definitionTail(index) };
      await swap(target, name, (await isBuilt(target, name)) ? "built" : definition, prove);
    },

    finish: (target, name) => dropReplaced(target, name, prove),
    abandon: (target, name) => dropBeside(target, name, NEW),

    async restore({ target, name, previous = "" }) {
      const [, unique, tail = ""] = /^(UNIQUE )?(.*)$/s.exec(previous) ?? [];
      await swap(target, name, { unique: unique !== undefined, tail });
      return undefined;
    },
  };
}

/** By duty of the old index: why only a migration can replace it, and how. */
const RECIPES: Readonly<Record<string, string>> = {
  constraint:
    "belongs to a constraint, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., " +
    "then ALTER TABLE ... DROP CONSTRAINT ..., ADD CONSTRAINT ... USING INDEX ...",
  "foreign key":
    "is used by a foreign key, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., " +
    "then ALTER TABLE ... DROP CONSTRAINT ..., ADD FOREIGN KEY ... NOT VALID, VALIDATE CONSTRAINT ...",
  "replica identity":
    "is the table's replica identity, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., " +
    "then ALTER TABLE ... REPLICA IDENTITY USING INDEX ...",
};

const EXISTS = `
  SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
                   JOIN pg_namespace n ON n.oid = t.relnamespace
                  WHERE n.nspname = $1 AND t.relname = $2 AND c.relname = $3) AS there`;
