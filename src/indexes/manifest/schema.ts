/** The strict schema of a manifest in a file: an option with a typo would otherwise silently build another index. */
import { z } from "zod";
import type { Contract, Manifest, MongoIndex, Param, PostgresIndex, SampledParam } from "./manifest.ts";

const flag = z.boolean().exactOptional();
const text = z.string().exactOptional();
const number = z.number().exactOptional();
const record = z.record(z.string(), z.unknown());
const direction = z.literal([1, -1]);

const sample = z.strictObject({ sample: z.string(), shift: text });
const param: z.ZodType<Param> = z.lazy(() =>
  z.union([sample, z.string(), z.number(), z.boolean(), z.null(), z.array(param)]),
);

const collation = z.strictObject({
  locale: z.string(),
  caseLevel: z.boolean().exactOptional(),
  caseFirst: text,
  strength: number,
  numericOrdering: z.boolean().exactOptional(),
  alternate: text,
  maxVariable: text,
  backwards: z.boolean().exactOptional(),
  normalization: z.boolean().exactOptional(),
});

const contract = z.strictObject({
  name: z.string(),
  mode: z.enum(["uses", "could", "cannot"]).exactOptional(),
  orUses: z.array(z.string()).exactOptional(),
  because: text,
  maxExaminedPerReturned: number,
  covered: flag,
  noSort: flag,
  maxMs: number,
  promised: z.strictObject({ withoutMs: number, factor: number }).exactOptional(),
  find: z
    .strictObject({
      filter: record,
      sort: z.record(z.string(), direction).exactOptional(),
      projection: record.exactOptional(),
      limit: number,
    })
    .exactOptional(),
  count: record.exactOptional(),
  aggregate: z.array(record).exactOptional(),
  collation: collation.exactOptional(),
  sql: text,
  params: z.union([z.array(param), z.record(z.string(), param)]).exactOptional(),
});

const limits = z.strictObject({
  hitWarn: number,
  hitCrit: number,
  scanShare: number,
  sizePct: number,
  maxIndexes: number,
  unusedDays: number,
});

const common = {
  name: z.string(),
  phase: z.literal([1, 2, 3]).exactOptional(),
  required: flag,
  owner: text,
  why: z.string(),
  note: text,
  checked: flag,
  replace: flag,
  contracts: z.array(contract).exactOptional(),
  limits: limits.exactOptional(),
  rolling: z
    .strictObject({ column: z.string(), keep: z.string(), rotate: z.enum(["daily", "weekly", "monthly"]) })
    .exactOptional(),
};

const kind = z.literal([1, -1, "text", "hashed", "2dsphere", "2d"]);

const mongoIndex = z.strictObject({
  ...common,
  keys: z.array(z.tuple([z.string(), kind])),
  unique: flag,
  sparse: flag,
  partial: record.exactOptional(),
  expireAfterSeconds: number,
  collation: collation.exactOptional(),
  hidden: flag,
  weights: z.record(z.string(), z.number()).exactOptional(),
  defaultLanguage: text,
  languageOverride: text,
  wildcardProjection: z.record(z.string(), z.literal([0, 1])).exactOptional(),
  bits: number,
  min: number,
  max: number,
});

const columnOptions = { desc: flag, nulls: z.enum(["first", "last"]).exactOptional(), opclass: text, collate: text };
const neither = z.never({ error: "a column has either col or expr" });
const column = z.union(
  [
    z.string(),
    z.strictObject({ ...columnOptions, col: z.string(), expr: neither.exactOptional() }),
    z.strictObject({ ...columnOptions, expr: z.string(), col: neither.exactOptional() }),
  ],
  { error: "it must be a column's name, or an object with col or expr" },
);

const postgresIndex = z.strictObject({
  ...common,
  columns: z.array(column),
  method: text,
  unique: flag,
  nullsNotDistinct: flag,
  include: z.array(z.string()).exactOptional(),
  where: text,
  with: z.record(z.string(), z.union([z.string(), z.number()])).exactOptional(),
  constraint: z.enum(["primary", "unique"]).exactOptional(),
});

/** A manifest from a file, after extended JSON was converted to dates and regular expressions. */
export const manifestSchema = z.strictObject({
  version: z.literal(1),
  project: z.string(),
  defaults: z
    .strictObject({
      lockWaitMs: number,
      maxBuildMs: number,
      maxWaitMs: number,
      limits: z
        .strictObject({
          hitWarn: z.number(),
          hitCrit: z.number(),
          scanShare: z.number(),
          sizePct: z.number(),
          maxIndexes: z.number(),
          unusedDays: z.number(),
        })
        .exactOptional(),
    })
    .exactOptional(),
  createCollections: flag,
  queries: z.record(z.string(), z.array(contract)).exactOptional(),
  mongo: z.record(z.string(), z.array(mongoIndex)).exactOptional(),
  postgres: z.record(z.string(), z.array(postgresIndex)).exactOptional(),
  ignore: z
    .strictObject({ mongo: z.array(z.string()).exactOptional(), postgres: z.array(z.string()).exactOptional() })
    .exactOptional(),
});

/**
 * The compiler's proof that schema and type agree: the same fields, none optional on one side only. Both types are
 * compared with every object flattened and read-only, since assigning in both directions would not notice such a field.
 */
type Flat<T> = [T, Param] extends [Param, T] ? Param : FlatPart<T>; // Param contains itself, so it would never end
type FlatPart<T> = T extends object ? { readonly [K in keyof T]: Flat<T[K]> } : T;
type Same<A, B> = (<T>() => T extends Flat<A> ? 1 : 2) extends <T>() => T extends Flat<B> ? 1 : 2 ? true : false;
const proofs: readonly [
  Same<z.infer<typeof sample>, SampledParam>,
  Same<z.infer<typeof contract>, Contract>,
  Same<z.infer<typeof mongoIndex>, MongoIndex>,
  Same<z.infer<typeof postgresIndex>, PostgresIndex>,
  Same<z.infer<typeof manifestSchema>, Manifest>,
] = [true, true, true, true, true];
void proofs;
