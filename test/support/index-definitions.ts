/** Index definitions as a manifest may declare them, drawn over every option of its schema. */
import fc from "fast-check";
import { Decimal128, Long, ObjectId, UUID, type CollationOptions } from "mongodb";
import type { MongoIndex, MongoKey, PostgresColumn, PostgresIndex } from "../../src/indexes/manifest/manifest.ts";

const COMMON = { name: "drawn", why: "test" } as const;

/** Only the given fields: an absent one is no `undefined`. */
function given<T extends object>(parts: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  return fc.record(parts, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}

const value = fc.constantFrom<unknown>(
  ...[1, -7, 2 ** 40, 1.5, "x", "", true, false, null, new Date("2026-01-01T00:00:00Z")],
  ...[new ObjectId("0123456789abcdef01234567"), Long.fromString("9007199254740993"), Decimal128.fromString("1.50")],
  ...[new UUID("01234567-89ab-4def-8123-456789abcdef"), { x: 1, y: [1, { z: 2 }] }, [1, 2]],
);
const scalar = fc.constantFrom<unknown>(1, 2 ** 40, 1.5, "x", new Date("2026-01-01T00:00:00Z"));
const range = fc.tuple(scalar, scalar).map(([$gt, $lte]) => ({ $gt, $lte }));
const single = fc.oneof(
  value,
  value.map(($eq) => ({ $eq })),
  fc.constant({ $exists: true }),
  fc.constantFrom<unknown>({ $type: "string" }, { $type: 2 }, { $type: ["string", "int"] }),
);
const termsOf = (condition: fc.Arbitrary<unknown>) =>
  fc.dictionary(fc.constantFrom("p", "q.r", "s"), condition, { minKeys: 1, maxKeys: 3 });
const terms = termsOf(fc.oneof(single, range));
const equals = value.map((one) => ({ p: one }));
/** As far as FerretDB builds it, which takes a field with two conditions only as the whole filter. */
const partial = fc.oneof(
  termsOf(single),
  range.map((p) => ({ p })),
  fc.constant({}),
  fc.tuple(equals, equals).map((both) => ({ $and: both })),
);
const anyPartial = fc.oneof(
  partial,
  terms,
  fc.tuple(terms, terms).map((both) => ({ $and: [{ $and: both }] })),
  fc.tuple(terms, terms).map((either) => ({ $or: either })),
  fc.array(scalar, { minLength: 1, maxLength: 3 }).map(($in) => ({ p: { $in } })),
);

/** Locales with and without defaults of their own. */
const locale = fc.constantFrom("en", "da", "fr", "fr_CA", "th", "vi", "he_IL", "de@collation=search", "simple");
const collation = fc
  .tuple(
    locale,
    given<Omit<CollationOptions, "locale">>({
      strength: fc.constantFrom(1, 2, 3),
      caseLevel: fc.boolean(),
      caseFirst: fc.constantFrom("upper", "lower", "off"),
      numericOrdering: fc.boolean(),
      alternate: fc.constantFrom("shifted", "non-ignorable"),
      maxVariable: fc.constantFrom("punct", "space"),
      normalization: fc.boolean(),
      backwards: fc.boolean(),
    }),
  )
  .map(([name, rest]): CollationOptions => (name === "simple" ? { locale: name } : { locale: name, ...rest }));

const field = fc.constantFrom("a", "b", "c.d", "e", "f1");
const ordered = fc
  .uniqueArray(field, { minLength: 1, maxLength: 3 })
  .chain((fields) => fc.tuple(...fields.map((name) => fc.constantFrom<MongoKey>([name, 1], [name, -1]))));
const textFields = fc.uniqueArray(fc.constantFrom("t", "u.v", "w"), { minLength: 1, maxLength: 3 });
const weights = fc.dictionary(fc.constantFrom("t", "u.v", "z"), fc.integer({ min: 1, max: 9 }), { maxKeys: 3 });
const included = fc.dictionary(fc.constantFrom("a", "b.c", "b.d", "e"), fc.constant<1>(1), { minKeys: 1 });
const excluded = fc.dictionary(fc.constantFrom("a", "b.c", "b.d", "e"), fc.constant<0>(0), { minKeys: 1 });
const projection = fc
  .tuple(fc.oneof(included, excluded), fc.option(fc.constantFrom<0 | 1>(0, 1)))
  .map(([paths, id]): Record<string, 0 | 1> => (id === null ? paths : { ...paths, _id: id }));

const flags = given<Pick<MongoIndex, "unique" | "hidden">>({ unique: fc.boolean(), hidden: fc.boolean() });
const extent = fc.oneof(
  fc.record({ partial: anyPartial }),
  given<Pick<MongoIndex, "sparse">>({ sparse: fc.boolean() }),
);

const mongoKinds: fc.Arbitrary<Partial<MongoIndex>> = fc.oneof(
  { weight: 3, arbitrary: ordered.map((keys) => ({ keys })) },
  fc
    .tuple(fc.constantFrom<MongoKey>(["a", 1], ["b", -1]), fc.constantFrom(0, 1, 3_600, 2_147_483_647))
    .map(([key, expireAfterSeconds]) => ({ keys: [key], expireAfterSeconds })),
  fc
    .tuple(
      fc.option(fc.constant<MongoKey>(["a", 1])),
      textFields,
      fc.option(fc.constant<MongoKey>(["b", -1])),
      given<Pick<MongoIndex, "weights" | "defaultLanguage" | "languageOverride">>({
        weights,
        defaultLanguage: fc.constantFrom("english", "french", "none"),
        languageOverride: fc.constantFrom("language", "lang"),
      }),
    )
    .map(([before, fields, after, options]) => ({
      keys: [...(before ? [before] : []), ...fields.map((name): MongoKey => [name, "text"]), ...(after ? [after] : [])],
      ...options,
    })),
  fc.option(projection).map((one) => ({
    keys: [["$**", 1] as const],
    ...(one ? { wildcardProjection: one } : {}),
  })),
  fc.constantFrom<Partial<MongoIndex>>(
    { keys: [["a.$**", 1]] },
    { keys: [["$**", "text"]], weights: { t: 3 } },
    { keys: [["g", "2dsphere"]] },
    { keys: [["a", "hashed"]] },
    { keys: [["a", 1], ["b", "hashed"]] }, // prettier-ignore
  ),
  given<Pick<MongoIndex, "bits" | "min" | "max">>({
    bits: fc.constantFrom(20, 26, 32),
    min: fc.constantFrom(-180, -10.5, 0),
    max: fc.constantFrom(180, 10.5, 1_000),
  }).map((grid) => ({ keys: [["g", "2d"] as const], ...grid })),
);

/** An index of MongoDB, of any kind and with any options that this kind can have. */
export const mongoIndex: fc.Arbitrary<MongoIndex> = fc
  .tuple(mongoKinds, flags, extent, fc.option(collation))
  .map(([kind, { unique, hidden }, more, collated]) => {
    const isOrdered = kind.keys?.every(([name, direction]) => typeof direction === "number" && !name.includes("$"));
    const isText = kind.keys?.some(([, direction]) => direction === "text" || direction === "2d");
    return {
      ...COMMON,
      keys: [],
      ...kind,
      ...(hidden === undefined ? {} : { hidden }),
      ...(unique === undefined || isOrdered !== true ? {} : { unique }),
      ...("sparse" in more && isOrdered !== true ? {} : more),
      // A text index and a 2d one have the simple collation only.
      ...(collated && isText !== true ? { collation: collated } : {}),
    };
  });

/** The same, as far as FerretDB 2.7 builds it: without collation, hidden, or a filter that it refuses. */
export const ferretIndex: fc.Arbitrary<MongoIndex> = fc
  .tuple(mongoKinds, flags, fc.oneof(fc.record({ partial }), fc.record({ sparse: fc.boolean() }), fc.constant({})))
  .map(([kind, { unique }, more]) => {
    const isOrdered = kind.keys?.every(([name, direction]) => typeof direction === "number" && !name.includes("$"));
    const options = isOrdered === true ? { ...(unique === undefined ? {} : { unique }), ...more } : {};
    return { ...COMMON, keys: [], ...kind, ...options };
  });

/** The table of `postgresIndex`. */
export const DRAWN_TABLE = `CREATE TABLE drawn_table (
  id int PRIMARY KEY, a int, b text, c timestamptz, d jsonb, e text[], f point, g inet, h varchar(20), "Camel" text,
  i int4range, j text COLLATE "C", k boolean, n numeric)`;

const where = fc.constantFrom(
  ...["a > 5", "b = 'x' AND c > '2026-01-01'", "h IN ('x', 'y')", "h = 'x'", "k", "NOT k", `"Camel" IS NOT NULL`],
  ...["b LIKE 'x%'", "a BETWEEN 1 AND 2", "(d ->> 'k') = 'v'", "a = 1 OR b = 'it''s'", "n > 1.50", "e @> '{x}'"],
);
const include = fc.uniqueArray(fc.constantFrom("n", "k", "Camel"), { minLength: 1, maxLength: 2 });
const order = given<{ desc: boolean; nulls: "first" | "last" }>({
  desc: fc.boolean(),
  nulls: fc.constantFrom("first", "last"),
});
const plain = fc.constantFrom("a", "b", "c", "g", "h", "Camel", "j", "k", "n");
const texts = fc.constantFrom("b", "h", "Camel", "j");
const btreeColumn: fc.Arbitrary<PostgresColumn> = fc.oneof(
  plain,
  fc.tuple(plain, order).map(([col, how]) => ({ col, ...how })),
  fc
    .tuple(texts, order, given({ collate: fc.constantFrom("C", "POSIX"), opclass: fc.constant("text_pattern_ops") }))
    .map(([col, how, more]) => ({ col, ...how, ...more })),
  fc
    .tuple(fc.constantFrom("lower(b)", "a + 1", "d ->> 'x'", "coalesce(b, h)", "h IN ('x', 'y')"), order)
    .map(([expr, how]) => ({ expr, ...how })),
  fc.constant({ expr: "lower(h)", collate: "C", opclass: "varchar_pattern_ops" }),
);
const columnKey = (column: PostgresColumn) => (typeof column === "string" ? column : (column.col ?? column.expr));
const columns = (one: fc.Arbitrary<PostgresColumn>, maxLength: number) =>
  fc.uniqueArray(one, { minLength: 1, maxLength, selector: columnKey });

type Kind = Partial<PostgresIndex>;
const btree: fc.Arbitrary<Kind> = fc
  .tuple(
    columns(btreeColumn, 3),
    given<Kind>({ unique: fc.boolean(), include, where, method: fc.constant("btree") }),
    fc.boolean(),
    fc.constantFrom<Kind>({}, { with: { fillfactor: 70 } }, { with: { deduplicate_items: "off", fillfactor: 90 } }),
  )
  .map(([keys, more, nullsNotDistinct, options]) => ({
    columns: keys,
    ...more,
    ...(more.unique === true ? { nullsNotDistinct } : {}),
    ...options,
  }));
const others: fc.Arbitrary<Kind> = fc.constantFrom<Kind>(
  { method: "hash", columns: ["b"], with: { fillfactor: 60 } },
  { method: "gin", columns: ["d"] },
  { method: "gin", columns: [{ col: "d", opclass: "jsonb_path_ops" }], with: { fastupdate: "off" } },
  { method: "gin", columns: ["e", { expr: "to_tsvector('simple', b)" }], with: { gin_pending_list_limit: 128 } },
  { method: "gist", columns: ["f"], include: ["a"] },
  { method: "gist", columns: [{ col: "g", opclass: "inet_ops" }, "i"], with: { buffering: "on", fillfactor: 80 } },
  { method: "gist", columns: [{ expr: "to_tsvector('simple', b)", opclass: "tsvector_ops (siglen = 100)" }] },
  { method: "spgist", columns: ["f"] },
  { method: "spgist", columns: [{ col: "f", opclass: "kd_point_ops" }], include: ["a"] },
  { method: "spgist", columns: ["b"], with: { fillfactor: 70 } },
  { method: "spgist", columns: ["i"] },
  { method: "brin", columns: ["a", "c"], with: { pages_per_range: 32, autosummarize: "on" } },
  { method: "brin", columns: [{ col: "a", opclass: "int4_minmax_multi_ops (values_per_range = 16)" }] },
  {
    method: "brin",
    columns: [
      { col: "b", opclass: "text_bloom_ops" },
      { col: "g", opclass: "inet_inclusion_ops" },
    ],
  },
);
const bloom: fc.Arbitrary<Kind> = fc.constantFrom<Kind>(
  { method: "bloom", columns: ["a", "b"] },
  { method: "bloom", columns: ["a", "b"], with: { length: 100, col1: 3 } },
);

/** An index of PostgreSQL 15 or later on DRAWN_TABLE. @param hasBloom the extension bloom is there */
export function postgresIndex(hasBloom: boolean): fc.Arbitrary<PostgresIndex> {
  const special = fc
    .tuple(hasBloom ? fc.oneof({ weight: 5, arbitrary: others }, bloom) : others, fc.option(where))
    .map(([kind, predicate]) => (predicate === null ? kind : { ...kind, where: predicate }));
  return fc.oneof({ weight: 3, arbitrary: btree }, { weight: 2, arbitrary: special }).map((kind) => ({
    ...COMMON,
    columns: [],
    ...kind,
  }));
}
