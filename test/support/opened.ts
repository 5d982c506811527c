import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";

/** What a test opens and has to close. */
interface Closable {
  close(): unknown;
}

/** Opens something before the tests of the file (or of the `describe` it is called in) and closes it after the last. */
export function openedOnce<T extends Closable>(open: () => T | Promise<T>): T {
  return opened(beforeAll, afterAll, open);
}

/** Opens something before each test and closes it after that test. */
export function openedForEach<T extends Closable>(open: () => T | Promise<T>): T {
  return opened(beforeEach, afterEach, open);
}

/**
 * Hooks run in the order of the calls, and close in the opposite one: what is opened later may use what was opened
 * before it.
 *
 * @returns a stand-in for what is open at the time; hooks and tests may use it, the file itself is too early
 */
function opened<T extends Closable>(
  before: (hook: () => Promise<void>) => void,
  after: (hook: () => Promise<void>) => void,
  open: () => T | Promise<T>,
): T {
  let current: T | undefined;
  before(async () => {
    current = await open();
  });
  after(async () => {
    const closing = current;
    current = undefined;
    await closing?.close();
  });
  const now = (): T => {
    if (!current) throw new Error("It is not open: use it in a test, or in a hook after the call that opens it.");
    return current;
  };
  return new Proxy({} as T, {
    get(_, name) {
      const member = Reflect.get(now(), name, now()) as unknown;
      return typeof member === "function" ? (member.bind(now()) as unknown) : member;
    },
    // These two are for { ...spread }.
    ownKeys: () => Reflect.ownKeys(now()),
    getOwnPropertyDescriptor: (_, name) => ({ ...Reflect.getOwnPropertyDescriptor(now(), name), configurable: true }),
  });
}
