/**
 * What an error of this kind says that the work throws; undefined where it throws nothing. Any other error is thrown on,
 * and so fails the test.
 */
export function refusal(kind: new (...args: never[]) => Error, work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof kind) return error.message;
    throw error;
  }
}
