import type { Recipe } from "../../../dev/servers/install.ts";

/** Installs in no time and leaves a trace of each time it was run. */
export function quickRecipe(builds: string[], seconds = 0): Recipe {
  return {
    name: "quick-1",
    title: "quick",
    proof: "bin/tool",
    deadlineMs: 20_000,
    async build(folder, { run }) {
      builds.push(folder);
      const script = `sleep ${seconds}; mkdir bin; echo tool > bin/tool`;
      await run({ command: "/bin/sh", args: ["-c", script], cwd: folder }, 10_000);
    },
  };
}

/** Says what it does and ends with a failure. */
export const failingRecipe: Recipe = {
  name: "failing-1",
  title: "failing",
  proof: "tool",
  deadlineMs: 20_000,
  build: (folder, { run }) =>
    run({ command: "/bin/sh", args: ["-c", "echo the disk is full; exit 3"], cwd: folder }, 10_000),
};

/** Starts a grandchild that notes its pid, and waits for ever; so does reading from the terminal, which is closed. */
export const endlessRecipe: Recipe = {
  name: "endless-1",
  title: "endless",
  proof: "tool",
  deadlineMs: 20_000,
  build: (folder, { run }) =>
    run({ command: "/bin/sh", args: ["-c", "cat; sleep 600 & echo $! > pid; wait"], cwd: folder }, 300_000),
};
