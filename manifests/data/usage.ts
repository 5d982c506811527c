/**
 * Events of ten tenants with forty users each over 120 days, and cache rows as the worker writes them: one tenant of a
 * thousand users for a year, and tenants of twenty users.
 */
import { Decimal128 } from "mongodb";
import { momentWithin, type SampleData } from "./fill.ts";

const MODELS = [
  ["claude-opus", "anthropic", 15, 75],
  ["claude-sonnet", "anthropic", 3, 15],
  ["claude-haiku", "anthropic", 0.8, 4],
  ["gpt-large", "openai", 2.5, 10],
  ["gpt-small", "openai", 0.15, 0.6],
  ["gemini-pro", "google", 1.25, 5],
] as const;

const models = MODELS.map(([model, provider]) => `('${model}', '${provider}')`).join(", ");

/**
 * Row r is day r % 365 of tenant r / 365. Documents have the worker's form; random numbers are hashes, so that the same
 * row is the same everywhere. The sums and the documents agree, as the constraints ask.
 */
const CACHE_ROWS = `
  WITH model AS MATERIALIZED (
    SELECT row_number() OVER () - 1 AS number, name, provider FROM (VALUES ${models}) AS v(name, provider)
  ), cell AS (
    SELECT r, 'user-' || lpad((r / 365 * 100000 + u)::text, 7, '0') AS "user", m.name AS model, m.provider, 1 + (h & 15) AS requests,
           200 + (h >> 8 & 16383) AS prompt, 20 + (h >> 24 & 4095) AS completion,
           ((200 + (h >> 8 & 16383)) * 0.000003 + (20 + (h >> 24 & 4095)) * 0.000015)::numeric(12, 6) AS cost
      FROM generate_series($1::bigint, $2::bigint) AS r
      CROSS JOIN LATERAL generate_series(1, CASE WHEN r < 365 THEN greatest(20, $3::int / 100) ELSE 20 END) AS u
      CROSS JOIN LATERAL (SELECT hashint8extended(r * 100003 + u, $4::bigint) & 9223372036854775807) AS hash(h)
      JOIN model AS m ON m.number = (u + (h >> 40) % 2) % ${MODELS.length}
  ), keys AS (
    SELECT r, dimension, key, jsonb_build_object('totalRequests', sum(requests), 'totalTokens', sum(prompt + completion),
             'promptTokens', sum(prompt), 'completionTokens', sum(completion), 'totalCost', sum(cost)) AS document
      FROM cell CROSS JOIN LATERAL (VALUES ('user', "user"), ('model', model), ('provider', provider)) AS d(dimension, key)
     GROUP BY r, dimension, key
  ), folded AS (
    SELECT r, jsonb_object_agg(key, document) FILTER (WHERE dimension = 'user') AS users,
           jsonb_object_agg(key, document) FILTER (WHERE dimension = 'model') AS models,
           jsonb_object_agg(key, document) FILTER (WHERE dimension = 'provider') AS providers
      FROM keys GROUP BY r
  ), whole AS (
    SELECT r, sum(requests) AS requests, sum(prompt) AS prompt, sum(completion) AS completion, sum(cost) AS cost,
           jsonb_agg(jsonb_build_array("user", model, provider, requests, prompt + completion, prompt, completion, cost)) AS cells
      FROM cell GROUP BY r
  )
  INSERT INTO daily_usage_cache (
    tenant_id, date, raw_data, aggregated_by_user, aggregated_by_model, aggregated_by_provider, total_requests, total_tokens,
    prompt_tokens, completion_tokens, total_cost, source_events, malformed_events, content_hash, state, revision, read_at, cached_at)
  SELECT 'tenant-' || lpad((r / 365)::text, 4, '0'), ($5::timestamptz AT TIME ZONE 'UTC')::date - (r % 365)::int,
         jsonb_build_object('version', 1, 'columns', '["user","model","provider","requests","tokens","prompt","completion","cost"]'::jsonb,
           'rows', cells),
         users, models, providers, requests, prompt + completion, prompt, completion, cost, requests, 0,
         sha256(convert_to(r::text, 'UTF8')), 'final', 1, $5, $5
    FROM whole JOIN folded USING (r)
   ORDER BY r`;

/** The events of the usage system under their own names, and rows for the cache that its migrations make. */
export const usageData: SampleData = {
  collections: {
    token_usage_events: {
      share: 1,
      make: (n, chance, shape) => {
        const [model, provider, promptPrice, completionPrice] = chance.of(MODELS);
        const prompt = 20 + chance.below(4_000);
        const completion = 1 + chance.below(1_000);
        return {
          tenant_id: `tenant-${chance.below(10)}`,
          user_id: `user-${chance.below(40)}`,
          model,
          provider,
          prompt_tokens: prompt,
          completion_tokens: completion,
          total_tokens: prompt + completion,
          cost: Decimal128.fromString(((prompt * promptPrice + completion * completionPrice) / 1e6).toFixed(9)),
          request_id: `request-${n}`,
          feature: chance.of(["chat", "summary", "search", "agent"]),
          latency_ms: 200 + chance.below(9_000),
          created_at: momentWithin(shape, 120, chance),
        };
      },
    },
  },
  tables: { daily_usage_cache: { share: 0.2, insert: CACHE_ROWS } },
  prepare: () => Promise.resolve(),
};
