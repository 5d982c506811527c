/**
 * Reads a value that may change at any time, but not again within `ms` of the last read. Readers that ask at once share
 * one read; an error is not kept.
 *
 * @returns a function; with "anew" it always reads
 */
export function recently<T>(ms: number, read: () => Promise<T>): (anew?: "anew") => Promise<T> {
  let last: { readonly value: Promise<T>; readonly until: number } | undefined;
  return (anew) => {
    if (anew || !last || last.until < Date.now()) {
      const value = read();
      last = { value, until: Date.now() + ms };
      value.catch(() => (last = undefined));
    }
    return last.value;
  };
}
