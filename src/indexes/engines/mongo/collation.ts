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

/** Languages whose texts ICU normalises by default: read from ICU 60 and 72, where they are the same. */
const NORMALIZED = new Set(
  "as bn bo el fa gu he hi ig iw km kn kok mr my or pa ps si ta te th vi wo yi yo".split(" "), // prettier-ignore
);

/** The other defaults in which a locale differs, read from ICU 60 and 72. */
const BY_LOCALE: Readonly<Record<string, Partial<typeof DEFAULTS>>> = {
  da: { caseFirst: "upper" },
  mt: { caseFirst: "upper" },
  th: { alternate: "shifted" },
  fr_CA: { backwards: true },
};

/**
 * What the server writes for the parameters that a collation leaves out: it takes them from ICU, where a few depend on the
 * locale (manual, "Collation Locales and Default Parameters"). The variant for searching is the same for all languages.
 */
function defaultsOf(locale: string): typeof DEFAULTS {
  const [place = "", variant] = locale.split("@collation=");
  if (variant === "search") return { ...DEFAULTS, normalization: true };
  const [language = ""] = place.split("_");
  return { ...DEFAULTS, normalization: NORMALIZED.has(language), ...BY_LOCALE[language], ...BY_LOCALE[place] };
}

/** A collation in one canonical text; "" is the simple one, which compares bytes. */
export function collationText(collation: (CollationOptions & { version?: string }) | undefined): string {
  if (!collation || collation.locale === "simple") return "";
  return JSON.stringify(Object.entries(completed(collation)).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function completed(collation: CollationOptions & { version?: string }): Record<string, unknown> {
  const { version: _version, ...rest } = collation;
  const stated = Object.entries(rest).filter(([, value]) => value !== undefined);
  return { ...defaultsOf(collation.locale), ...Object.fromEntries(stated) };
}

/** A collation as a person writes it: without the parameters that are the locale's defaults. */
export function shortCollation(collation: CollationOptions): CollationOptions {
  const defaults: Record<string, unknown> = defaultsOf(collation.locale);
  const { locale, ...rest } = completed(collation);
  const stated = Object.entries(rest).filter(([parameter, value]) => value !== defaults[parameter]);
  return { locale: String(locale), ...Object.fromEntries(stated) };
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
