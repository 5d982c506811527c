/** What a stage of `explain` that scans an index says of arrays, on mongod and FerretDB. */
export interface ScanNode {
  readonly isMultiKey?: unknown;
  /** field of the index -> the parts of its path that are arrays */
  readonly multiKeyPaths?: Readonly<Record<string, readonly string[]>>;
  readonly keyPattern?: object;
  /** FerretDB's key, as JSON: `{"tenant": 1,"at": -1}` */
  readonly indexKey?: string;
}

/**
 * The fields of a multikey index -> the parts of their paths that hold arrays; undefined where the index is not multikey.
 * mongod does not know the paths of text and 2d indexes and of those made before 3.4, FerretDB of none: then any field
 * may hold arrays.
 */
export function arraysOf(node: ScanNode): Readonly<Record<string, readonly string[]>> | undefined {
  if (node.isMultiKey !== true) return undefined;
  const marked = Object.entries(node.multiKeyPaths ?? {}).filter(([, paths]) => paths.length > 0);
  const fields = Object.keys(node.keyPattern ?? (JSON.parse(node.indexKey ?? "{}") as object));
  return Object.fromEntries(marked.length > 0 ? marked : fields.map((field) => [field, fields]));
}

/**
 * The fields whose arrays have made an index of a plan multikey, each once, in all shapes of a plan.
 *
 * @param explained the answer of `explain`, or a part of it
 */
export function multikeyPaths(explained: unknown): readonly string[] {
  const found = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    for (const path of Object.values(arraysOf(node as ScanNode) ?? {}).flat()) found.add(path);
    Object.values(node).forEach(walk);
  };
  walk(explained);
  return [...found];
}
