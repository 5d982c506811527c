-- What nobody saw: why a run or an audit found no tenant-day, final tenant-days whose tokens or cost fell, and where
-- malformed events are. A worker of the version before leaves all of this at its default.
-- Up Migration

ALTER TABLE usage_run
  ADD COLUMN finding jsonb,
  ADD COLUMN days_fell integer NOT NULL DEFAULT 0;

ALTER TABLE usage_chunk
  ADD COLUMN fell integer NOT NULL DEFAULT 0,
  ADD COLUMN fell_days jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN malformed jsonb NOT NULL DEFAULT '[]';

ALTER TABLE usage_audit ADD COLUMN finding jsonb;

-- The malformed fields of the rows in daily_usage_cache, as they are now: the write that replaces a row replaces these too.
CREATE TABLE usage_malformed (
  tenant_id text COLLATE "C" NOT NULL,
  date date NOT NULL,
  field text NOT NULL,
  reason text NOT NULL,
  found text NOT NULL,
  events bigint NOT NULL CHECK (events > 0),
  sample_id text,
  content_hash bytea NOT NULL,
  PRIMARY KEY (tenant_id, date, field, reason)
);

-- Down Migration

DROP TABLE usage_malformed;
ALTER TABLE usage_audit DROP COLUMN finding;
ALTER TABLE usage_chunk DROP COLUMN fell, DROP COLUMN fell_days, DROP COLUMN malformed;
ALTER TABLE usage_run DROP COLUMN finding, DROP COLUMN days_fell;
