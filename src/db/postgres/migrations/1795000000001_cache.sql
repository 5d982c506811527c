-- The table that other services read: one tenant, one day, one row, always replaced whole.
-- Its query indexes are declared in manifests/usage.ts; only the key belongs here.
-- Up Migration

CREATE TABLE daily_usage_cache (
  tenant_id text COLLATE "C" NOT NULL CHECK (octet_length(tenant_id) BETWEEN 1 AND 512),
  date date NOT NULL,
  raw_data jsonb NOT NULL,
  aggregated_by_user jsonb NOT NULL,
  aggregated_by_model jsonb NOT NULL,
  aggregated_by_provider jsonb NOT NULL,
  total_requests bigint NOT NULL CHECK (total_requests >= 0),
  total_tokens bigint NOT NULL CHECK (total_tokens >= 0),
  prompt_tokens bigint NOT NULL CHECK (prompt_tokens >= 0),
  completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
  total_cost numeric NOT NULL CHECK (total_cost >= 0),
  source_events bigint NOT NULL,
  malformed_events bigint NOT NULL,
  content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
  state text NOT NULL CHECK (state IN ('open', 'settling', 'final')),
  revision integer NOT NULL CHECK (revision > 0),
  read_at timestamptz NOT NULL,
  cached_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, date),
  CHECK (total_requests = source_events),
  CHECK (malformed_events BETWEEN 0 AND source_events)
) WITH (fillfactor = 90); -- room on the page for updates of read_at and state, which are in no index

COMMENT ON TABLE daily_usage_cache IS 'Daily LLM usage totals, kept true to the raw events by Tallyman. Read only.';

-- lz4 packs the documents several times faster than the default; a server built without it keeps the default.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['raw_data', 'aggregated_by_user', 'aggregated_by_model', 'aggregated_by_provider'] LOOP
    EXECUTE format('ALTER TABLE daily_usage_cache ALTER COLUMN %I SET COMPRESSION lz4', name);
  END LOOP;
EXCEPTION WHEN feature_not_supported OR syntax_error THEN
  RAISE NOTICE 'this server has no lz4: documents are compressed as by default';
END $$;

-- An array element over 8,191 bytes cannot be indexed, so a long key is known by its hash, here and in every query.
CREATE FUNCTION usage_key(key text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN octet_length(key) > 512 THEN 'sha256:' || encode(sha256(convert_to(key, 'UTF8')), 'hex') ELSE key END
$$;

CREATE FUNCTION usage_keys(document jsonb) RETURNS text[]
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(
      CASE WHEN octet_length(key) > 512 THEN 'sha256:' || encode(sha256(convert_to(key, 'UTF8')), 'hex') ELSE key END
    ), '{}')
    FROM jsonb_object_keys(document) AS key
$$;

-- Down Migration

DROP TABLE daily_usage_cache;
DROP FUNCTION usage_keys(jsonb);
DROP FUNCTION usage_key(text);
