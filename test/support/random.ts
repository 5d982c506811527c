/** A seeded stream of numbers in [0, 1) (mulberry32): the same seed gives the same stream on every machine. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer from 0 to below `limit`. */
export function below(random: () => number, limit: number): number {
  return Math.floor(random() * limit);
}

/** Deals the values in random order and again from the start: after n draws of n values each was dealt once. */
export function deck<T>(random: () => number, values: readonly T[]): () => T {
  if (values.length === 0) throw new RangeError("a deck needs values");
  let left: T[] = [];
  return () => {
    if (left.length === 0) left = [...values];
    const [dealt] = left.splice(below(random, left.length), 1);
    return dealt as T;
  };
}

/** Letters that do not compress. */
export function letters(random: () => number, length: number): string {
  return Array.from({ length }, () => String.fromCharCode(97 + below(random, 26))).join("");
}
