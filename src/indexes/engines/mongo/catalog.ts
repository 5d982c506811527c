/** The indexes of a MongoDB collection in their normal form. */
import { BSON, type CollationOptions, type Db } from "mongodb";
import { serverCode } from "../../../mongo/errors.ts";
import type { MongoIndex } from "../../manifest/manifest.ts";
import { collationOf } from "./collation.ts";
import { ATTRIBUTES, canonicalFilter, mongoForm, mongoSpec } from "./normal-form.ts";
import type { MongoServer } from "./server.ts";
import type { Observation, ActualIndex, DeclaredForm } from "../../decision/observation.ts";
import { fingerprint, type NormalForm } from "../../decision/normal-form.ts";

const NAMESPACE_NOT_FOUND = 26;
const VERSION_DIGITS = 6;

export interface MongoObservation extends Observation {
  /** of the collection; indexes and queries that name none get it */
  readonly collation: CollationOptions | undefined;
}

/** Reads all indexes of a collection, and brings them and the declared ones into their normal form. */
export async function observe(
  db: Db,
  target: string,
  declared: readonly MongoIndex[],
  server: MongoServer,
): Promise<MongoObservation> {
  const [info] = await db.listCollections({ name: target }).toArray();
  const type = info?.type ?? "collection";
  if (type !== "collection") {
    const nothing = { actual: [], declared: new Map(), rules: {}, busy: false, collation: undefined };
    return { unusable: `it is a ${type}`, ...nothing };
  }
  const collation = collationOf(info);
  const specs = info ? await listIndexes(db, target) : [];
  // listIndexes shows a running build like a finished index; only $indexStats tells them apart.
  const building = info && !server.blocking ? await buildingNames(db, target) : new Set<string>();
  const actual = specs.map((spec): ActualIndex => ({
    name: String(spec["name"]),
    // listIndexes leaves the simple collation out, so an existing index without one does not inherit the collection's.
    form: mongoForm(spec),
    valid: true,
    building: building.has(String(spec["name"])),
    ...traitsOf(spec),
    definition: definitionOf(spec),
  }));
  const forms = declared.map((index): [string, DeclaredForm] => [
    index.name,
    { name: index.name, form: mongoForm(mongoSpec(index, collation), collation) },
  ]);
  const isMissing = info === undefined;
  const names = new Set(declared.map(({ name }) => name));
  const rules = {
    identity: server.identity,
    ...(server.limit === undefined ? {} : { limit: server.limit }),
    attributes: ATTRIBUTES,
    isVersion: (name: string, of: string) => !names.has(name) && isVersionName(name, of),
  };
  return { isMissing, actual, declared: new Map(forms), rules, busy: false, collation };
}

/** The name of the new index of a replacement: it needs one of its own, since MongoDB cannot rename an index. */
export function versionName(name: string, form: NormalForm): string {
  return `${name}__${fingerprint(form).slice(0, VERSION_DIGITS)}`;
}

/** Can `versionName` have made this from the name? */
export function isVersionName(version: string, name: string): boolean {
  if (!version.startsWith(`${name}__`)) return false;
  const digits = version.slice(name.length + 2);
  return digits.length === VERSION_DIGITS && /^[0-9a-f]+$/.test(digits);
}

/** The order of an index, where it has one, and its duty besides serving reads. */
function traitsOf(spec: Record<string, unknown>): Pick<ActualIndex, "order" | "guards"> {
  const keys = Object.entries(spec["key"] as Record<string, unknown>).map(([field, kind]) => ({
    field,
    direction: typeof kind === "string" ? NaN : Math.sign(Number(kind)),
  }));
  const isUnique = spec["unique"] || spec["prepareUnique"];
  const guards = isPrimary(spec) ? "primary key" : isUnique ? "unique" : spec["hidden"] ? "hidden" : undefined;
  const holds = canonicalFilter(spec["partialFilterExpression"]) || (spec["sparse"] ? `sparse ${keys[0]?.field}` : "");
  const duty = guards ?? (spec["expireAfterSeconds"] === undefined ? undefined : "TTL");
  const isOrdered = keys.every(({ field, direction }) => !Number.isNaN(direction) && !field.includes("$**"));
  return {
    ...(duty === undefined ? {} : { guards: duty }),
    ...(isOrdered
      ? {
          order: {
            keys: keys.map(({ field, direction }) => `${field} ${direction}`),
            opposite: keys.map(({ field, direction }) => `${field} ${-direction}`),
            columns: keys.map(({ field }) => field),
            include: [],
            holds,
            collatesAsOne: true,
          },
        }
      : {}),
  };
}

/** The index on `_id`, or the order of a clustered collection, which is listed as an index whose name may be another. */
export function isPrimary(spec: Record<string, unknown>): boolean {
  return spec["name"] === "_id_" || spec["clustered"] === true;
}

/** Fields that `listIndexes` adds and `createIndexes` does not take. */
export const ADDED = new Set(["v", "ns", "background", "storageEngine", "textIndexVersion", "2dsphereIndexVersion"]);

/** A spec as extended JSON from which `createIndexes` can build the index again. */
function definitionOf(spec: Record<string, unknown>): string {
  return BSON.EJSON.stringify(Object.fromEntries(Object.entries(spec).filter(([name]) => !ADDED.has(name))));
}

/** The indexes of a collection as the server lists them; empty if the collection does not exist. */
export async function listIndexes(db: Db, target: string): Promise<Record<string, unknown>[]> {
  try {
    return (await db.collection(target).listIndexes().toArray()) as Record<string, unknown>[];
  } catch (error) {
    if (serverCode(error) === NAMESPACE_NOT_FOUND) return [];
    throw error;
  }
}

/** Names of the indexes being built. Without the right to read $indexStats, a running build counts as finished. */
export async function buildingNames(db: Db, target: string): Promise<ReadonlySet<string>> {
  const stats = await db
    .collection(target)
    .aggregate([{ $indexStats: {} }])
    .toArray()
    .catch(() => []);
  return new Set(stats.filter((stat) => stat["building"] === true).map((stat) => String(stat["name"])));
}
