/** What the plan of one query says, in the same terms for every server. */

/** One access of a plan to the target: through an index, or a read of the whole. */
export interface Access {
  /** the server's own word: `Seq Scan`, `IXSCAN` */
  readonly stage: string;
  /** undefined: the target is read whole */
  readonly index: string | undefined;
  /** A condition picks the entries; false where the whole index is read. A partial index counts as bounded. */
  readonly bounded: boolean;
  readonly shard?: string;
  /**
   * For an index whose server keeps a mark that documents have, or had, arrays in its fields (MongoDB's multikey index): field
   * -> the parts of its path that are arrays.
   */
  readonly arrays?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface PlanFacts {
  readonly accesses: readonly Access[];
  /** The keys of each blocking sort, which reads all rows before it gives the first. */
  readonly sorts: readonly string[];
  /** Answered from the index alone; undefined where the server does not say. */
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

/** The names of the indexes used, each once. */
export function indexNames({ accesses }: PlanFacts): string[] {
  return [...new Set(accesses.flatMap(({ index }) => (index === undefined ? [] : [index])))];
}

/**
 * Every shard goes through one of these indexes and reads nothing whole. Without names any index will do.
 * @param picks count only bounded accesses: with sequential scans switched off, the planner may read all of any index
 */
export function goesThrough({ accesses }: PlanFacts, accepted: readonly string[], picks = false): boolean {
  if (accesses.length === 0 || accesses.some(({ index }) => index === undefined)) return false;
  const fits = ({ index, bounded }: Access) =>
    (accepted.length === 0 || accepted.includes(index as string)) && (!picks || bounded);
  const shards = new Set(accesses.map(({ shard }) => shard));
  return [...shards].every((shard) => accesses.some((access) => access.shard === shard && fits(access)));
}
