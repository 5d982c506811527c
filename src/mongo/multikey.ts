/**
 * The fields whose arrays have made an index of a plan multikey, each once: `isMultiKey` and `multiKeyPaths`
 * (field -> the parts of its path that are arrays), which stand in every stage of `explain` that scans an index, in all
 * shapes of a plan. FerretDB tells no paths, and its key as a text.
 *
 * @param explained the answer of `explain`, or a part of it
 */
export function multikeyPaths(explained: unknown): readonly string[] {
  const found = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    const { isMultiKey, multiKeyPaths, keyPattern, indexKey } = node as {
      isMultiKey?: unknown;
      multiKeyPaths?: Readonly<Record<string, unknown>>;
      keyPattern?: object;
      indexKey?: string;
    };
    if (isMultiKey === true) {
      const arrays = Object.values(multiKeyPaths ?? {}).flat() as string[];
      const keys = keyPattern ?? (JSON.parse(indexKey ?? "{}") as object);
      for (const path of arrays.length > 0 ? arrays : Object.keys(keys)) found.add(path);
    }
    Object.values(node).forEach(walk);
  };
  walk(explained);
  return [...found];
}
