/**
 * An index as `listIndexes` of mongod answers, written from the manual and the server's source (fts_spec.cpp, "Projection
 * Signature Display" of the manual, collator_factory_icu.cpp), and sharing no code with src.
 */
import { BSON, Double, Int32, Long, type CollationOptions, type Document } from "mongodb";

/** How a server stores what may be stored in several ways. */
export interface Storing {
  /** BSON type of the numbers in keys and options */
  readonly number: "int" | "long" | "double";
  /** flags as they were sent by an old driver */
  readonly flag: "bool" | "number";
  /** the projection of a wildcard index: MongoDB 5.0.16, 6.0.5 and later keep it as it was written */
  readonly projection: "as written" | "normalised";
}

/** What ICU 57 says where a locale is not like the others; recorded for the locales that the tests draw. */
const LOCALES: Readonly<Record<string, Partial<CollationOptions>>> = {
  da: { caseFirst: "upper" },
  fr_CA: { backwards: true },
  th: { alternate: "shifted", normalization: true },
  vi: { normalization: true },
  he_IL: { normalization: true },
  "de@collation=search": { normalization: true },
};

/** @param spec of the `createIndexes` command, with its keys in a Map @returns as the driver hands it on */
export function mongodLists(spec: Readonly<Record<string, unknown>>, how: Storing): Document {
  const number = (value: number) =>
    how.number === "double" ? new Double(value) : how.number === "long" ? Long.fromNumber(value) : new Int32(value);
  const key = new Map<string, unknown>();
  const weights = new Map<string, number>();
  for (const [field, kind] of spec["key"] as ReadonlyMap<string, unknown>) {
    if (kind === "text") {
      key.set("_fts", "text").set("_ftsx", new Int32(1));
      weights.set(field, 1);
    } else key.set(field, typeof kind === "number" ? number(kind) : kind);
  }
  const listed: Record<string, unknown> = { v: new Int32(2), key, name: spec["name"] };
  for (const option of ["unique", "sparse", "hidden"]) {
    if (spec[option] === undefined) continue;
    listed[option] = how.flag === "bool" ? spec[option] : number(spec[option] === true ? 1 : 0);
  }
  for (const option of ["expireAfterSeconds", "bits", "min", "max"]) {
    const value = spec[option] as number | undefined;
    if (value !== undefined) listed[option] = Number.isInteger(value) ? number(value) : new Double(value);
  }
  if (spec["partialFilterExpression"]) listed["partialFilterExpression"] = spec["partialFilterExpression"];
  if (spec["wildcardProjection"]) {
    const written = spec["wildcardProjection"] as Readonly<Record<string, 0 | 1>>;
    listed["wildcardProjection"] = how.projection === "as written" ? written : normalised(written);
  }
  if (weights.size > 0) {
    for (const [field, weight] of Object.entries(spec["weights"] ?? {})) weights.set(field, Number(weight));
    listed["weights"] = new Map([...weights].sort(([a], [b]) => (a < b ? -1 : 1)).map(([f, w]) => [f, new Int32(w)]));
    listed["default_language"] = spec["default_language"] ?? "english";
    listed["language_override"] = spec["language_override"] ?? "language";
    listed["textIndexVersion"] = new Int32(3);
  }
  if ([...key.values()].includes("2dsphere")) listed["2dsphereIndexVersion"] = new Int32(3);
  const collation = spec["collation"] as CollationOptions | undefined;
  if (collation && collation.locale !== "simple") {
    listed["collation"] = {
      ...{ locale: collation.locale, caseLevel: false, caseFirst: "off", strength: 3, numericOrdering: false },
      ...{ alternate: "non-ignorable", maxVariable: "punct", normalization: false, backwards: false },
      ...LOCALES[collation.locale],
      ...collation,
      version: "57.1",
    };
  }
  return BSON.deserialize(BSON.serialize(listed));
}

/** As the server prints what it made of a projection: nested, with booleans, `_id` last unless it was named. */
function normalised(written: Readonly<Record<string, 0 | 1>>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(written)) {
    const [first = "", ...rest] = path.split(".");
    if (rest.length === 0) result[first] = value === 1;
    else result[first] = { ...(result[first] as object | undefined), [rest.join(".")]: value === 1 };
  }
  return "_id" in result ? result : { ...result, _id: false };
}
