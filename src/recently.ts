/**
 * Reads a value that may change at any time, but not again within `ms` of the last read. Readers that ask at once share
 * one read; an error is not kept.
 *
 * @returns a function; with "now" it reads in any case
 */
export function recently<T>(ms: number, read: () => Promise<T>): (when?: "now") => Promise<T> {
  let last: { readonly value: Promise<T>; readonly until: number } | undefined;
  return (when) => {
    if (when === "now" || !last || last.until < Date.now()) {
      const value = read();
      last = { value, until: Date.now() + ms };
      value.catch(() => (last = undefined));
    }
    return last.value;
  };
}
