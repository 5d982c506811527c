-- A claim names the process that holds it, so that another takes over as soon as that process is gone; and functions work
-- whatever the search_path of their caller is.
-- Up Migration

-- The id of the session that holds the process's locks; null = of a version that does not say.
ALTER TABLE usage_chunk ADD COLUMN claimed_session integer;

ALTER FUNCTION usage_changes(bigint, integer) SET search_path FROM CURRENT;
ALTER FUNCTION usage_changes_end() SET search_path FROM CURRENT;

-- Down Migration

ALTER FUNCTION usage_changes_end() RESET search_path;
ALTER FUNCTION usage_changes(bigint, integer) RESET search_path;
ALTER TABLE usage_chunk DROP COLUMN claimed_session;
