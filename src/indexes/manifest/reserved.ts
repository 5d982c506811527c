/** Names that the index keeper uses itself, so that no manifest may use them. */

/** The keeper's own tables in PostgreSQL begin with it, since they lie beside other people's. */
export const OWN_TABLE = "tallyman_";

/** Earlier versions had a schema for these tables; there their names begin with "index_". */
export const FORMER_SCHEMA = "tallyman";

/** The collection of the ledger in MongoDB. */
export const LEDGER_COLLECTION = "_index_ledger";

/** PostgreSQL cuts a longer name. */
export const NAME_BYTES = 63;

/** What `discover` writes as the reason for an index, which nobody but its owner knows; a manifest with it is valid. */
export const WHY_UNKNOWN = "TODO: which query needs it";

/** Endings of the names of the new and the old index during a replacement. */
export const REPLACEMENT = "__tallyman_new";
export const REPLACED = "__tallyman_old";
