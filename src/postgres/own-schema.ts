/**
 * SQL for the name, quoted, of the one schema with Tallyman's tables: the first of the search_path that has them, else
 * the first of all, where they will be made; null where the search_path names no schema that this role may use.
 */
export const OWN_SCHEMA = `coalesce(
  (SELECT relnamespace::regnamespace::text FROM pg_class
    WHERE oid = coalesce(to_regclass('usage_meta'), to_regclass('usage_migration'))),
  quote_ident(current_schema()))`;
