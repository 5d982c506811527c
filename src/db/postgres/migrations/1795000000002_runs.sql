-- Runs and their chunks: PostgreSQL is the truth about what is to be done, the queue only carries it.
-- Up Migration

CREATE TABLE usage_run (
  id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('nightly', 'backfill', 'refresh', 'repair', 'undo')),
  inline boolean NOT NULL DEFAULT false,
  reason text,
  requested_by text NOT NULL,
  dedupe_key text NOT NULL,
  settings_hash text NOT NULL,
  tenants text[] COLLATE "C",
  from_date date NOT NULL,
  to_date date NOT NULL CHECK (to_date >= from_date),
  state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'running', 'done', 'failed', 'cancelled')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz,
  chunks_planned integer NOT NULL DEFAULT 0,
  chunks_done integer NOT NULL DEFAULT 0,
  chunks_failed integer NOT NULL DEFAULT 0,
  plan_attempts integer NOT NULL DEFAULT 0,
  days_planned integer NOT NULL DEFAULT 0,
  days_written integer NOT NULL DEFAULT 0,
  days_unchanged integer NOT NULL DEFAULT 0,
  days_stale integer NOT NULL DEFAULT 0,
  days_refused integer NOT NULL DEFAULT 0,
  days_failed integer NOT NULL DEFAULT 0,
  source_events bigint NOT NULL DEFAULT 0,
  malformed_events bigint NOT NULL DEFAULT 0,
  error text
);

-- A nightly slot is taken for ever; any other request only while one like it is unfinished.
CREATE UNIQUE INDEX usage_run_dedupe_nightly ON usage_run (dedupe_key) WHERE kind = 'nightly';
CREATE UNIQUE INDEX usage_run_dedupe_unfinished ON usage_run (dedupe_key)
  WHERE kind <> 'nightly' AND state IN ('planned', 'running');
CREATE INDEX usage_run_unfinished ON usage_run (created_at) WHERE state IN ('planned', 'running');
CREATE INDEX usage_run_created_at ON usage_run (created_at DESC);

CREATE TABLE usage_chunk (
  run_id uuid NOT NULL REFERENCES usage_run (id) ON DELETE CASCADE,
  number integer NOT NULL CHECK (number >= 0),
  payload jsonb NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'failed', 'cancelled')),
  claim uuid,
  claimed_by text,
  lease_until timestamptz,
  claims integer NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  cursor integer NOT NULL DEFAULT 0,
  planned integer NOT NULL,
  written integer NOT NULL DEFAULT 0,
  unchanged integer NOT NULL DEFAULT 0,
  stale integer NOT NULL DEFAULT 0,
  refused integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  source_events bigint NOT NULL DEFAULT 0,
  malformed_events bigint NOT NULL DEFAULT 0,
  refused_days jsonb NOT NULL DEFAULT '[]',
  failed_days jsonb NOT NULL DEFAULT '[]',
  error text,
  PRIMARY KEY (run_id, number),
  CHECK ((state = 'running') = (claim IS NOT NULL AND lease_until IS NOT NULL)),
  CHECK (written + unchanged + stale + refused + failed <= planned)
);

CREATE INDEX usage_chunk_unfinished ON usage_chunk (run_id, number) WHERE state IN ('pending', 'running');

-- Down Migration

DROP TABLE usage_chunk;
DROP TABLE usage_run;
