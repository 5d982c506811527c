/** Names that the index keeper uses itself, so that no manifest may use them. */

/** The schema of the keeper's own tables in PostgreSQL. */
export const KEEPER_SCHEMA = "tallyman";

/** The collection of the ledger in MongoDB. */
export const LEDGER_COLLECTION = "_index_ledger";

/** PostgreSQL cuts a longer name. */
export const NAME_BYTES = 63;

/** Endings of the names of the new and the old index during a replacement. */
export const REPLACEMENT = "__tallyman_new";
export const REPLACED = "__tallyman_old";
