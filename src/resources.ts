/** What a process opens when it is first asked for, and closes in the reverse order at its end. */
export class Resources {
  readonly #opening = new Set<Promise<unknown>>();
  readonly #closings: (() => unknown)[] = [];

  /**
   * @param close undefined = nothing to close
   * @returns a function that opens it at its first call, and answers the same from then on; after an error the next
   *   call tries again
   */
  lazily<T>(open: () => Promise<T>, close?: (opened: T) => unknown): () => Promise<T> {
    let opened: Promise<T> | undefined;
    const openNow = async (): Promise<T> => {
      try {
        const value = await open();
        // Registered only now: open() may have opened what this needs, which must be closed after it.
        if (close) this.#closings.push(() => close(value));
        return value;
      } catch (error) {
        opened = undefined;
        throw error;
      }
    };
    return () => {
      if (opened) return opened;
      const opening = openNow();
      opened = opening;
      this.#opening.add(opening);
      opening.catch(() => undefined).finally(() => this.#opening.delete(opening));
      return opening;
    };
  }

  /** Closes what is open or being opened, the last first; an error of one does not keep the others open. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#opening);
    const errors: unknown[] = [];
    for (let closing = this.#closings.pop(); closing; closing = this.#closings.pop()) {
      try {
        await closing();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
