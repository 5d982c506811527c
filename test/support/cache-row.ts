import type { CacheRow } from "../../src/db/postgres/cache/cache-row.ts";
import { scaled } from "../../src/usage/decimal.ts";
import { toDocuments, type DocumentLimits } from "../../src/usage/document.ts";
import { RollupBuilder } from "../../src/usage/rollup.ts";

const LIMITS: DocumentLimits = { maxKeys: 100, maxRawRows: 100, maxBytes: 16 * 1024 * 1024 };

/** A tenant-day ready to be stored, of one request with so many tokens, at a cost of a thousandth each. */
export function cacheRow(tenant: string, date: string, tokens: number, readAt: string): CacheRow {
  const builder = new RollupBuilder();
  const sums = { requests: 1, tokens, prompt: tokens, completion: 0, cost: scaled(BigInt(tokens), -3) };
  builder.add({ keys: { user: "alice", model: "gpt-4o", provider: "openai" }, sums, malformed: 0 });
  const { totals, malformed, ...rollup } = builder.build();
  const documents = toDocuments({ ...rollup, totals, malformed }, LIMITS);
  return { tenant, date, documents, totals, malformed, readAt, state: "final", isBeforeHorizon: false };
}
