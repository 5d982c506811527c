/**
 * Asks again and again until there is an answer other than undefined or false, and returns it. The pause between two
 * questions only spares the server; what is waited for is the condition. The deadline ends a test that hangs and judges
 * no speed: what takes a second here may take a minute on a machine that is busy.
 *
 * @throws Error that names `what` when the deadline has passed
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  withinMs = 120_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`no ${what} within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
