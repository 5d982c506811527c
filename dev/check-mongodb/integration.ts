import path from "node:path";
import { fileURLToPath } from "node:url";
import type { TestModule } from "vitest/node";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** How the tests of `test/mongodb` ended. */
export interface TestRun {
  readonly passed: number;
  /** a test that did not run to its end counts as failed, too */
  readonly failed: readonly { readonly test: string; readonly message: string }[];
}

/**
 * Runs the tests of `test/mongodb` on a server, in a database that is theirs. What vitest prints goes to standard
 * error. After an abort it waits for the tests that run: vitest ends its threads when it is cancelled, and the server
 * may do what a thread asked for last when the database has been dropped, which makes it again.
 */
export async function runTests(uri: string, database: string, signal: AbortSignal): Promise<TestRun> {
  signal.throwIfAborted();
  process.env["MONGODB_URI"] = uri;
  process.env["TALLYMAN_CHECK_DATABASE"] = database;
  const { createVitest } = await import("vitest/node"); // slow to load, and not needed for --help
  const output = { stdout: process.stderr, stderr: process.stderr };
  const before = listeners();
  // In threads, since Ctrl-C reaches every process of the terminal.
  const options = { root: ROOT, project: "mongodb", watch: false, pool: "threads" } as const;
  const vitest = await createVitest("test", options, {}, output);
  // Those of vitest end the process at once, before the database is dropped.
  for (const { name, listener } of listeners()) {
    if (!before.some((one) => one.listener === listener)) process.off(name, listener);
  }
  try {
    const { testModules, unhandledErrors } = await vitest.start();
    signal.throwIfAborted();
    const run = readRun(testModules);
    const others = unhandledErrors.map((error) => ({ test: "vitest", message: messageOf(error) }));
    return { ...run, failed: [...run.failed, ...others] };
  } finally {
    await vitest.close();
  }
}

/** What this process does when it is told to end. */
const listeners = () =>
  (["SIGINT", "SIGTERM"] as const).flatMap((name) =>
    process.listeners(name).map((listener) => ({ name, listener: listener as () => void })),
  );

/** Pure. */
export function readRun(modules: readonly TestModule[]): TestRun {
  const failed: { test: string; message: string }[] = [];
  let passed = 0;
  for (const module of modules) {
    const file = path.relative(ROOT, module.moduleId);
    failed.push(...module.errors().map((error) => ({ test: file, message: error.message })));
    for (const test of module.children.allTests()) {
      const { state, errors } = test.result();
      if (state === "passed") passed++;
      else failed.push({ test: `${file}: ${test.fullName}`, message: errors?.[0]?.message ?? `it is ${state}` });
    }
  }
  if (passed + failed.length === 0) failed.push({ test: "vitest", message: "no test was found" });
  return { passed, failed };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String((error as { message?: unknown }).message ?? error);
}
