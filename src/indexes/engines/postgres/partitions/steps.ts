/**
 * The statements that give a partitioned table an index without blocking its writers. Pure. First every partition gets
 * its own index, concurrently and attached to nothing, so that a partition which is dropped or detached in these hours
 * leaves no trace. Then the index of the whole table is made, invalid at first, and the others are attached to it, each
 * in a moment; the last one makes it valid.
 */
import pg from "pg";
import { commentStatement, withFoundHere, type FormerPartition } from "../belongings.ts";
import { createStatement, dropStatement, qualified } from "../ddl.ts";
import { looseName, partName, type TreeIndex } from "./names.ts";
import type { Part } from "./tree.ts";

export interface Step {
  readonly label: string;
  /** `schema.table`: the step is void once this partition is gone */
  readonly table: string;
  readonly statements: readonly string[];
  /** They run in one transaction and lock out others for that moment; else each runs alone and locks out nobody. */
  readonly isBrief: boolean;
  /** the partition's former index: what hung on it, its tablespace and its name */
  readonly former?: FormerPartition | undefined;
  /** the index that gets it */
  readonly heir?: string;
}

/** What is left to do, in order; empty once every partition has its index. */
export function stepsFor(
  index: TreeIndex,
  parts: readonly Part[],
  former: ReadonlyMap<string, FormerPartition> = new Map(),
): Step[] {
  const [root] = parts;
  if (!root) return [];
  const nameIn = (part: Part) =>
    part.attached?.name ??
    (part === root ? index.name : (former.get(keyOf(part))?.name ?? partName(index, part.schema, part.table)));
  const byOid = new Map(parts.map((part) => [part.oid, part]));
  const attach = (part: Part, name: string) => {
    const parent = byOid.get(part.parent ?? "") ?? root;
    return `ALTER INDEX ${qualified(parent.schema, nameIn(parent))} ATTACH PARTITION ${qualified(part.schema, name)}`;
  };
  const open = parts.filter((part) => part !== root && !part.attached);
  const leaves = open.filter(({ isPartitioned }) => !isPartitioned);

  const builds = leaves.flatMap((part): Step[] => {
    if (part.twin || part.loose?.isUsable === true) return [];
    const table = keyOf(part);
    const name = looseName(index, part.schema, part.table);
    const create = createStatement(table, name, index.definition);
    return [
      {
        ...{ label: `${index.name} (${part.table})`, table, isBrief: false, former: former.get(table) },
        statements: part.loose ? [dropStatement(table, name), create] : [create],
      },
    ];
  });
  const whole: Step[] = root.attached
    ? []
    : [
        {
          ...{ label: index.name, table: index.target, isBrief: true },
          statements: [createStatement(index.target, index.name, index.definition, "only")],
        },
      ];
  const middles = open
    .filter(({ isPartitioned }) => isPartitioned)
    .map((part): Step => {
      const [table, name] = [keyOf(part), nameIn(part)];
      const statements = [createStatement(table, name, index.definition, "only"), attach(part, name)];
      return {
        label: `${index.name} (${part.table})`,
        table,
        statements,
        isBrief: true,
        former: former.get(table),
        heir: name,
      };
    });
  const attachments = leaves.map((part): Step => {
    const base = { label: `${index.name} (${part.table})`, table: keyOf(part), isBrief: true };
    if (part.twin) {
      const comment = withFoundHere(part.twin.comment, true);
      const statements = [
        attach(part, part.twin.name),
        commentStatement(qualified(part.schema, part.twin.name), comment),
      ];
      return { ...base, statements };
    }
    const [loose, name] = [looseName(index, part.schema, part.table), nameIn(part)];
    const rename = `ALTER INDEX ${qualified(part.schema, loose)} RENAME TO ${pg.escapeIdentifier(name)}`;
    return { ...base, statements: [attach(part, loose), rename], former: former.get(base.table), heir: name };
  });
  return [...builds, ...whole, ...middles, ...attachments];
}

/**
 * Statements that change nothing but let the server look again whether the index is whole: attaching a partition's index
 * a second time. It would not notice that the last partition without the index was dropped. Deepest tables first.
 */
export function recheckStatements(parts: readonly Part[]): string[] {
  return [...parts].reverse().flatMap((part) => {
    const child = parts.find(({ parent, attached }) => parent === part.oid && attached);
    if (!part.isPartitioned || !part.attached || part.attached.valid || !child?.attached) return [];
    return [
      `ALTER INDEX ${qualified(part.schema, part.attached.name)} ATTACH PARTITION ${qualified(child.schema, child.attached.name)}`,
    ];
  });
}

/** `schema.table` */
export function keyOf({ schema, table }: Pick<Part, "schema" | "table">): string {
  return `${schema}.${table}`;
}
