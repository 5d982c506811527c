/**
 * The fields whose arrays have made an index of a plan multikey, each once: `isMultiKey` and `multiKeyPaths`
 * (field -> the parts of its path that are arrays), which stand in every stage of `explain` that scans an index, in all
 * shapes of a plan. FerretDB tells neither.
 *
 * @param explained the answer of `explain`, or a part of it
 */
export function multikeyPaths(explained: unknown): readonly string[] {
  const found = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    const { isMultiKey, multiKeyPaths, keyPattern } = node as {
      isMultiKey?: unknown;
      multiKeyPaths?: Readonly<Record<string, unknown>>;
      keyPattern?: object;
    };
    if (isMultiKey === true) {
      const arrays = Object.values(multiKeyPaths ?? {}).flat() as string[];
      // An index of before 3.4 tells no paths.
      for (const path of arrays.length > 0 ? arrays : Object.keys(keyPattern ?? {})) found.add(path);
    }
    Object.values(node).forEach(walk);
  };
  walk(explained);
  return [...found];
}
