/** The indexes of a MongoDB database, as a manifest would declare them. */
import type { CollationOptions, Db } from "mongodb";
import type { MongoIndex, MongoKey } from "../../manifest/manifest.ts";
import { LEDGER_COLLECTION } from "../../manifest/reserved.ts";
import type { Discovery, FoundIndex } from "../discovery.ts";
import { ADDED, isPrimary, listIndexes } from "./catalog.ts";
import { collationOf, collationText, shortCollation } from "./collation.ts";
import { projectionPaths } from "./normal-form.ts";
import { shellText } from "./shell.ts";

type Spec = Readonly<Record<string, unknown>>;

/** Fields of a spec that a manifest has a key for. */
const DECLARED = new Set([
  ...["key", "name", "unique", "sparse", "hidden", "expireAfterSeconds", "partialFilterExpression", "collation"],
  ...["weights", "default_language", "language_override", "wildcardProjection", "bits", "min", "max"],
]);

export function mongoDiscovery(db: Db): Discovery {
  return {
    async targets() {
      const infos = await db.listCollections({}, { nameOnly: true, authorizedCollections: true }).toArray();
      return infos
        .filter(({ name, type }) => type !== "view" && !name.startsWith("system.") && name !== LEDGER_COLLECTION)
        .map(({ name }) => name)
        .sort();
    },

    async read(target) {
      const [info] = await db.listCollections({ name: target }).toArray();
      if (info?.type === "timeseries") {
        return { indexes: [], notes: ["a time-series collection, whose indexes no manifest can declare"] };
      }
      const ofCollection = collationOf(info);
      const specs = (await listIndexes(db, target)).filter((spec) => !isPrimary(spec));
      return {
        indexes: specs.map((spec) => foundIndex(spec, ofCollection)),
        notes: ofCollection ? [`made with the collation ${shellText(shortCollation(ofCollection))}`] : [],
      };
    },
  };
}

/** @param ofCollection an index that names no collation would get it, so the simple one is named */
export function foundIndex(spec: Spec, ofCollection: CollationOptions | undefined): FoundIndex {
  const name = String(spec["name"]);
  const definition = shellText(spec);
  const others = Object.entries(spec).filter(
    ([option, value]) => !DECLARED.has(option) && !ADDED.has(option) && value !== false,
  );
  const [other] = others;
  if (other) return { name, definition, notes: [`a manifest cannot declare ${other[0]}: ${shellText(other[1])}`] };
  return { name, definition, declaration: declarationOf(spec, name, ofCollection), notes: storageNotes(spec) };
}

function declarationOf(spec: Spec, name: string, ofCollection: CollationOptions | undefined): Omit<MongoIndex, "why"> {
  const keys = keysOf(spec);
  const isText = keys.some(([, kind]) => kind === "text");
  const weights = Object.entries((spec["weights"] ?? {}) as Record<string, unknown>)
    .map(([field, weight]) => [field, Number(weight)] as const)
    .filter(([, weight]) => weight !== 1);
  const language = spec["default_language"] as string | undefined;
  const { language_override: override = "language" } = spec as { language_override?: string };
  const collation = collationFor(spec["collation"] as CollationOptions | undefined, ofCollection);
  const projection = projectionPaths(spec["wildcardProjection"]).map(([path, isIn]) => [path, isIn ? 1 : 0] as const);
  const grid = (["bits", "min", "max"] as const).filter((option) => spec[option] !== undefined);
  return {
    name,
    keys,
    ...(spec["unique"] ? { unique: true } : {}),
    ...(spec["sparse"] ? { sparse: true } : {}),
    ...(spec["hidden"] ? { hidden: true } : {}),
    ...(spec["partialFilterExpression"] === undefined ? {} : { partial: spec["partialFilterExpression"] as Spec }),
    ...(spec["expireAfterSeconds"] === undefined ? {} : { expireAfterSeconds: Number(spec["expireAfterSeconds"]) }),
    ...(collation ? { collation } : {}),
    ...(isText && weights.length > 0 ? { weights: Object.fromEntries(weights) } : {}),
    ...(isText && language !== undefined ? { defaultLanguage: language } : {}),
    ...(isText && override !== "language" ? { languageOverride: override } : {}),
    ...(projection.length > 0 ? { wildcardProjection: Object.fromEntries(projection) } : {}),
    ...Object.fromEntries(grid.map((option) => [option, Number(spec[option])])),
  };
}

/** The server lists the text fields of an index as its weights, in the place of `_fts` and `_ftsx`. */
function keysOf(spec: Spec): MongoKey[] {
  return Object.entries(spec["key"] as Record<string, unknown>).flatMap(([field, kind]): MongoKey[] => {
    if (field === "_ftsx") return [];
    if (field === "_fts") return Object.keys(spec["weights"] ?? {}).map((one) => [one, "text"]);
    return [[field, typeof kind === "string" ? (kind as "hashed") : Number(kind) < 0 ? -1 : 1]];
  });
}

function collationFor(
  own: CollationOptions | undefined,
  ofCollection: CollationOptions | undefined,
): CollationOptions | undefined {
  if (collationText(own) === collationText(ofCollection)) return undefined;
  return own ? shortCollation(own) : { locale: "simple" };
}

/** Options of the storage engine, but for the one that FerretDB adds to every index. */
function storageNotes({ storageEngine = {} }: Spec & { readonly storageEngine?: object }): string[] {
  const options = Object.entries(storageEngine).filter(([option]) => option !== "enableOrderedIndex");
  return options.length === 0 ? [] : [`storageEngine ${shellText(Object.fromEntries(options))} is not declared`];
}
