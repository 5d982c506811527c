-- The feed of changes, as other services page through it.
-- Up Migration

/*
Changes after a cursor, in the order of their commits. The contract:
- To begin, ask usage_changes_end() for a cursor, then take a copy of daily_usage_cache, then page on from the cursor.
  What changed between the two comes again.
- Handle the rows, then keep the id of the last one as the next cursor. An empty answer keeps the cursor.
- Nothing is missed: once an id is visible, no lower one appears any more. Ids have gaps.
- A tenant's day appears once for each change, its revisions rising until a removal. old_* is null for a first write,
  new_* for a removal. The row as it is now is in daily_usage_cache.
- LISTEN daily_usage_cache wakes a reader after a commit. The notification says nothing, and may be lost: page at times
  without one too.
- Changes are kept for a time (HISTORY_RETENTION_DAYS). A cursor below the newest id that was removed, 0 included, is an
  error (data_exception, 22000): what lay between is gone, so begin again with a copy.
*/
CREATE FUNCTION usage_changes(after bigint, max_rows integer DEFAULT 1000) RETURNS SETOF usage_change
  LANGUAGE plpgsql STABLE STRICT ROWS 1000 AS $$
DECLARE trimmed bigint := (SELECT (value ->> 'through')::bigint FROM usage_meta WHERE name = 'changes_trimmed');
BEGIN
  IF after < trimmed THEN
    RAISE EXCEPTION 'the changes after % are not all there: those up to % were removed', after, trimmed
      USING ERRCODE = 'data_exception',
            HINT = 'Ask usage_changes_end() for a cursor, take a copy of daily_usage_cache, and page on from the cursor.';
  END IF;
  RETURN QUERY SELECT * FROM usage_change WHERE id > after ORDER BY id LIMIT max_rows;
END $$;

COMMENT ON FUNCTION usage_changes(bigint, integer) IS
  'Changes with an id above the cursor, oldest first: handle them, keep the last id as the next cursor. An error says that changes after the cursor were removed; begin again then with a copy of daily_usage_cache.';

-- The newest id may be of a change that was removed since.
CREATE FUNCTION usage_changes_end() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT greatest((SELECT max(id) FROM usage_change),
                  (SELECT (value ->> 'through')::bigint FROM usage_meta WHERE name = 'changes_trimmed'), 0)
$$;

COMMENT ON FUNCTION usage_changes_end() IS
  'The cursor behind the newest change: to begin, keep it, take a copy of daily_usage_cache, and page on from it.';

-- Down Migration

DROP FUNCTION usage_changes_end();
DROP FUNCTION usage_changes(bigint, integer);
