/**
 * The indexes of the usage system. Constraints and the indexes of the `usage_*` tables belong to the migrations; the
 * primary key of the cache is here to be checked, because the upsert and every reader of one tenant stand on it.
 */
import type { Contract, Manifest, MongoIndex, SampledParam } from "../src/indexes/index.ts";
import { by } from "./keys.ts";
import { cacheIndexes } from "./usage-cache.ts";

/** The index that every read of a tenant's events goes through. */
export const TENANT_DATE_INDEX = "idx_tenant_date";

/** Tallyman's name of an event's field -> its name in the source collection (`EVENTS_FIELDS`). */
interface EventFields {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly model: string;
  readonly provider: string;
  readonly prompt_tokens: string;
  readonly completion_tokens: string;
  readonly total_tokens: string;
  readonly cost: string;
  readonly created_at: string;
}

export interface UsageNames {
  /** `EVENTS_COLLECTION`. */
  readonly collection: string;
  /** The three indexed fields, and those that a query of a contract adds up. */
  readonly fields: Pick<EventFields, "tenant_id" | "user_id" | "created_at"> & Partial<EventFields>;
  /** The schema of `daily_usage_cache`; default `public`. */
  readonly schema?: string;
}

/** The manifest with the collection and field names of this installation. */
export function usageManifest({ collection, fields, schema = "public" }: UsageNames): Manifest {
  return {
    version: 1,
    project: "usage",
    createCollections: true,
    mongo: { [collection]: eventIndexes(fields) },
    postgres: { [`${schema}.daily_usage_cache`]: cacheIndexes() },
  };
}

/**
 * Tallyman compares ids byte by byte, so that "ACME" and "acme" are two tenants also where the collection was made with a
 * collation of its own: there, an index in that collation would serve none of its reads.
 */
const BYTES = { locale: "simple" } as const;

/** Both of the document's indexes are needed: {tenant, date} is no prefix of {tenant, user, date}. */
function eventIndexes(fields: UsageNames["fields"]): readonly MongoIndex[] {
  const { tenant_id: tenant, user_id: user, created_at: created } = fields;
  const range = { $gte: "$p:from", $lt: "$p:to" };
  const around = (half: string): Readonly<Record<"from" | "to", SampledParam>> => ({
    from: { sample: created, shift: `-${half}` },
    to: { sample: created, shift: half },
  });
  const byModel = {
    $group: {
      _id: fields.model === undefined ? null : `$${fields.model}`,
      tokens: { $sum: `$${fields.total_tokens ?? "total_tokens"}` },
      requests: { $sum: 1 },
    },
  };
  const statistics = (name: string, match: object, half: string, maxMs: number): Contract => ({
    name,
    maxExaminedPerReturned: 1.1,
    maxMs,
    params: around(half),
    aggregate: [{ $match: { ...match, [created]: range } }, byModel],
  });
  const tenants = { [tenant]: "$p:tenant" };
  const own = { ...tenants, [user]: "$p:user" };
  const indexes: readonly MongoIndex[] = [
    {
      name: TENANT_DATE_INDEX,
      required: true,
      why: "every rebuild reads a tenant-day through it; tenant-wide statistics",
      note:
        "without background, which servers since 4.2 ignore. The document's later idx_tenant_date_recent, the same keys " +
        "from a fixed date on, is left out: its date never moves, and rebuilds need every day, so it would only cost.",
      keys: by(tenant, `-${created}`),
      contracts: [
        {
          name: "rebuild a tenant-day",
          maxExaminedPerReturned: 1.1,
          params: around("12h"),
          aggregate: [{ $match: { ...tenants, [created]: range } }, { $count: "events" }],
        },
        statistics("tenant's statistics, 30 days", tenants, "15d", 500),
        statistics("tenant's statistics, 90 days", tenants, "45d", 2000),
        {
          name: "tenant's events of a week",
          maxExaminedPerReturned: 1.1,
          params: around("84h"),
          find: { filter: { ...tenants, [created]: { $gte: "$p:from", $lte: "$p:to" } } },
        },
        {
          name: "when a tenant was active, from the index alone",
          covered: true,
          find: { filter: { ...tenants, [created]: range }, projection: { _id: 0, [created]: 1 } },
        },
      ],
    },
    {
      name: "idx_tenant_user_date",
      phase: 2,
      why: "one user's own events, newest first; {tenant, date} is no prefix of it",
      note: "without background, which servers since 4.2 ignore",
      keys: by(tenant, user, `-${created}`),
      contracts: [
        {
          name: "own events",
          maxExaminedPerReturned: 1.1,
          noSort: true,
          find: { filter: { ...own, [created]: range }, sort: { [created]: -1 } },
        },
        statistics("user's statistics, 30 days", own, "15d", 200),
        statistics("user's statistics, 90 days", own, "45d", 1000),
      ],
    },
  ];
  return indexes.map(({ contracts = [], ...index }) => ({
    ...index,
    collation: BYTES,
    contracts: contracts.map((contract) => ({ ...contract, collation: BYTES })),
  }));
}
