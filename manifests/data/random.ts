/** A source of numbers from 0 to 1, the same for every seed: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Choices for one document, which depend only on the seed, the collection and the document's number. */
export class Chance {
  readonly #next: () => number;

  constructor(seed: number, collection: string, number: number) {
    let state = seed;
    for (const letter of collection) state = Math.imul(state ^ letter.charCodeAt(0), 16_777_619);
    this.#next = seeded(Math.imul(state ^ number, 2_654_435_761));
    this.#next(); // neighbouring seeds begin alike
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  /** One of the keys, each with a probability in proportion to its number. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries(weights) as [K, number][];
    let left = this.#next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    return (entries.at(-1) as [K, number])[0];
  }
}
