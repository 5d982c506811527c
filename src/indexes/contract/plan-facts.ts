/** What a plan of any server says about one query, in words that the verdict can be reached from. */

/** One way in which a plan reaches the target: through an index, or whole. */
export interface Access {
  /** the server's own word: `Seq Scan`, `IXSCAN` */
  readonly stage: string;
  /** undefined: the target is read whole */
  readonly index: string | undefined;
  /** A condition picks the entries; false where the whole index is read. A partial index picks by itself. */
  readonly bounded: boolean;
  readonly shard?: string;
}

export interface PlanFacts {
  readonly accesses: readonly Access[];
  /** Sorts that hold everything before they give the first row, each with its keys. */
  readonly sorts: readonly string[];
  /** Answered without a look at the documents or the table; undefined where the server does not tell. */
  readonly covered: boolean | undefined;
  /** Undefined where nothing was executed, or the server does not count. */
  readonly work: Work | undefined;
  readonly advice: readonly string[];
}

export interface Work {
  /** documents or rows, before they are grouped */
  readonly returned: number;
  /** documents or rows looked at, or entries of the index where those are more */
  readonly examined: number;
}

/** The names of the indexes, each once. */
export function indexNames({ accesses }: PlanFacts): string[] {
  return [...new Set(accesses.flatMap(({ index }) => (index === undefined ? [] : [index])))];
}

/**
 * Every shard goes through one of these indexes and reads nothing whole. Without names any index does.
 * @param picks an index counts only where a condition picks its entries: with whole scans forbidden, any index will do
 * to read everything
 */
export function goesThrough({ accesses }: PlanFacts, accepted: readonly string[], picks = false): boolean {
  if (accesses.length === 0 || accesses.some(({ index }) => index === undefined)) return false;
  const fits = ({ index, bounded }: Access) =>
    (accepted.length === 0 || accepted.includes(index as string)) && (!picks || bounded);
  const shards = new Set(accesses.map(({ shard }) => shard));
  return [...shards].every((shard) => accesses.some((access) => access.shard === shard && fits(access)));
}
