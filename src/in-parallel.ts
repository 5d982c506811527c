/**
 * Works on the items, at most `concurrency` at a time, begun in their order. After a failure nothing more is begun; what
 * is underway ends first, and then the first failure is thrown.
 */
export function inParallel<T>(
  items: Iterable<T>,
  concurrency: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  return shareAmong(items, concurrency, async (own) => {
    for (const item of own) await work(item);
  });
}

/**
 * As inParallel(), for workers that keep something from one item to the next: each takes items, in their order, from
 * what all share. It sees no further item once another worker has failed.
 */
export async function shareAmong<T>(
  items: Iterable<T>,
  workers: number,
  work: (items: Iterable<T>) => Promise<void>,
): Promise<void> {
  const source = items[Symbol.iterator]();
  let isFailed = false;
  const shared: Iterable<T> = {
    [Symbol.iterator]: () => ({ next: () => (isFailed ? { done: true, value: undefined } : source.next()) }),
  };
  const worker = async () => {
    try {
      await work(shared);
    } catch (error) {
      isFailed = true;
      throw error;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: workers }, worker));
  for (const end of ended) if (end.status === "rejected") throw end.reason;
}
