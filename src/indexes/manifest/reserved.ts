/** Names that belong to the index keeper itself, so that no manifest may use them. */

/** The schema of the keeper's own tables in PostgreSQL. */
export const KEEPER_SCHEMA = "tallyman";

/** The collection of the ledger in MongoDB. */
export const LEDGER_COLLECTION = "_index_ledger";

/** PostgreSQL cuts a name that has more bytes. */
export const NAME_BYTES = 63;

/** What the names of both indexes end in while one takes the place of the other. */
export const REPLACEMENT = "__tallyman_new";
export const REPLACED = "__tallyman_old";
