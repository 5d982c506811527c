/** The collations of collections, indexes and queries. Pure. */
import type { CollationOptions } from "mongodb";

/** ICU's defaults, which the server's specs contain and a manifest leaves out. */
const DEFAULTS = {
  caseLevel: false,
  caseFirst: "off",
  strength: 3,
  numericOrdering: false,
  alternate: "non-ignorable",
  maxVariable: "punct",
  normalization: false,
  backwards: false,
};

/** A collation in one canonical text; "" is the simple one, which compares bytes. */
export function collationText(collation: (CollationOptions & { version?: string }) | undefined): string {
  if (!collation || collation.locale === "simple") return "";
  const { version: _version, ...rest } = collation;
  const entries = Object.entries({ ...DEFAULTS, ...rest }).filter(([, value]) => value !== undefined);
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The collation that a collection was made with. @param info its entry of `listCollections` */
export function collationOf(info: object | undefined): CollationOptions | undefined {
  return (info as { options?: { collation?: CollationOptions } } | undefined)?.options?.collation;
}

/**
 * What a command has to say for an index or a query in the collation `wanted`, as the field of a command; empty where it
 * has to say nothing. An index or a query without a collation gets that of the collection, so "simple" is said where the
 * collection has one. Elsewhere simple is the default, and FerretDB 2.7 refuses every collation.
 */
export function statedCollation(
  wanted: CollationOptions | undefined,
  ofCollection: CollationOptions | undefined,
): { readonly collation?: CollationOptions } {
  if (!wanted || (collationText(wanted) === "" && collationText(ofCollection) === "")) return {};
  return { collation: wanted };
}
