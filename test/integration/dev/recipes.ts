import type { Recipe } from "../../../dev/servers/install.ts";

/** Ends a test that hangs. */
const HANG_MS = 300_000;

/** Installs when `before` has ended, and leaves a trace of each run. */
export function quickRecipe(builds: string[], before: () => Promise<unknown> = () => Promise.resolve()): Recipe {
  return {
    name: "quick-1",
    title: "quick",
    proof: "bin/tool",
    deadlineMs: HANG_MS,
    async build(folder, { run }) {
      builds.push(folder);
      await before();
      await run({ command: "/bin/sh", args: ["-c", "mkdir bin; echo tool > bin/tool"], cwd: folder }, HANG_MS);
    },
  };
}

/** Prints its steps and fails. */
export const failingRecipe: Recipe = {
  name: "failing-1",
  title: "failing",
  proof: "tool",
  deadlineMs: HANG_MS,
  build: (folder, { run }) =>
    run({ command: "/bin/sh", args: ["-c", "echo the disk is full; exit 3"], cwd: folder }, HANG_MS),
};

/** Starts a grandchild that notes its pid, and waits for ever; so does reading from the terminal, which is closed. */
export const endlessRecipe: Recipe = {
  name: "endless-1",
  title: "endless",
  proof: "tool",
  deadlineMs: HANG_MS,
  build: (folder, { run }) =>
    run({ command: "/bin/sh", args: ["-c", "cat; sleep 600 & echo $! > pid; wait"], cwd: folder }, HANG_MS),
};
