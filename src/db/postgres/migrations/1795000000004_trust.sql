-- What makes a rebuild safe to ask for: runs that may shrink rows or go first, undo guarded by what the run left,
-- how far a tenant was searched for events, and the outcome of audits.
-- Up Migration

ALTER TABLE usage_run
  ADD COLUMN allow_shrink boolean NOT NULL DEFAULT false,
  ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1 AND 1),
  ADD COLUMN undoes uuid,
  ADD COLUMN cancelled_by text,
  ADD CONSTRAINT usage_run_shrink_has_reason CHECK (NOT allow_shrink OR reason IS NOT NULL),
  ADD CONSTRAINT usage_run_undo_has_run CHECK ((kind = 'undo') = (undoes IS NOT NULL));

-- No event later than last_day was there up to this day when it was last looked for; null = never looked for.
ALTER TABLE usage_tenant ADD COLUMN searched_through date;

-- The row as the run left it, which an undo has to find unchanged; null = the run removed it.
ALTER TABLE usage_undo
  ADD COLUMN revision integer,
  ADD COLUMN content_hash bytea;

-- days_checked are the judged ones; skipped are those before the horizon, failed those that could not be read.
CREATE TABLE usage_audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slot text UNIQUE,
  requested_by text NOT NULL,
  from_date date NOT NULL,
  to_date date NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  days_checked integer NOT NULL,
  days_deep integer NOT NULL,
  days_equal integer NOT NULL,
  days_pending integer NOT NULL,
  days_drifted integer NOT NULL,
  days_missing integer NOT NULL,
  days_skipped integer NOT NULL,
  days_failed integer NOT NULL,
  invisible_events jsonb,
  drift jsonb NOT NULL,
  repair_run uuid,
  CHECK (days_checked = days_equal + days_pending + days_drifted + days_missing),
  CHECK (days_deep <= days_checked)
);

-- Down Migration

DROP TABLE usage_audit;
ALTER TABLE usage_undo DROP COLUMN revision, DROP COLUMN content_hash;
ALTER TABLE usage_tenant DROP COLUMN searched_through;
ALTER TABLE usage_run
  DROP CONSTRAINT usage_run_undo_has_run,
  DROP CONSTRAINT usage_run_shrink_has_reason,
  DROP COLUMN allow_shrink,
  DROP COLUMN priority,
  DROP COLUMN undoes,
  DROP COLUMN cancelled_by;
