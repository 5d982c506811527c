import { defineConfig } from "vitest/config";
import { propertySettings } from "./test/support/property-settings.ts";

/** Ends a test that hangs. No test is judged by its time: a busy machine may need many times as long as an idle one. */
const HANG_MS = 10 * 60_000;

const env = propertySettings();
/** What all projects have in common. No file may leave anything behind in its process, which works on many. */
const shared = { env, isolate: false, testTimeout: HANG_MS, hookTimeout: HANG_MS };

/** Projects with servers share three workers, on two cores: much of the work is waiting, for servers and processes. */
const besideEachOther = { sequence: { groupOrder: 1 }, maxWorkers: 3 };

export default defineConfig({
  test: {
    env,
    globalSetup: ["test/support/property-settings.ts"], // here rather than in a project: once a run
    teardownTimeout: HANG_MS, // the servers are stopped in it
    projects: [
      { test: { ...shared, name: "unit", include: ["test/unit/**/*.test.ts"], sequence: { groupOrder: 0 } } },
      {
        test: {
          ...shared,
          ...besideEachOther,
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          globalSetup: ["test/support/servers.ts"],
        },
      },
      {
        // What needs a MongoDB and nothing else: also run by npm run check:mongodb, on the server that it is given.
        test: {
          ...shared,
          ...besideEachOther,
          name: "mongodb",
          include: ["test/mongodb/**/*.test.ts"],
          globalSetup: ["test/support/mongodb-server.ts"],
        },
      },
    ],
  },
});
