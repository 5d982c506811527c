-- What is known about tenants, what is to be done again, what changed, what can be undone, and the settings in force.
-- Up Migration

CREATE TABLE usage_tenant (
  tenant_id text COLLATE "C" PRIMARY KEY,
  first_day date NOT NULL,
  last_day date NOT NULL CHECK (last_day >= first_day),
  computed_from date,
  computed_through date
);

CREATE TABLE usage_dirty (
  tenant_id text COLLATE "C" NOT NULL,
  date date NOT NULL,
  found_at timestamptz NOT NULL,
  not_before timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, date)
);

CREATE TABLE usage_change (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  date date NOT NULL,
  revision integer NOT NULL,
  old_requests bigint,
  old_tokens bigint,
  old_cost numeric,
  new_requests bigint,
  new_tokens bigint,
  new_cost numeric,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX usage_change_run ON usage_change (run_id);

CREATE TABLE usage_undo (
  run_id uuid NOT NULL REFERENCES usage_run (id) ON DELETE CASCADE,
  tenant_id text COLLATE "C" NOT NULL,
  date date NOT NULL,
  replaced jsonb,
  PRIMARY KEY (run_id, tenant_id, date)
);

CREATE TABLE usage_meta (
  name text PRIMARY KEY,
  value jsonb NOT NULL
);

-- Down Migration

DROP TABLE usage_meta;
DROP TABLE usage_undo;
DROP TABLE usage_change;
DROP TABLE usage_dirty;
DROP TABLE usage_tenant;
