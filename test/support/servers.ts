import type { TestProject } from "vitest/node";
import { startServers } from "../../dev/servers.ts";
import { compileProgram } from "./compile-program.ts";

declare module "vitest" {
  interface ProvidedContext {
    mongodbUri: string;
    redisUrl: string;
    databaseUrl: string;
    /** the compiled command line, a file for Node */
    program: string;
  }
}

/** Once for all integration tests: the servers, and the program. A server that cannot be had fails the run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [servers, program] = await Promise.all([
    startServers({ print: (line) => void process.stderr.write(`${line}\n`) }),
    compileProgram(),
  ]);
  project.provide("mongodbUri", servers.mongodbUri);
  project.provide("redisUrl", servers.redisUrl);
  project.provide("databaseUrl", servers.databaseUrl);
  project.provide("program", program.file);
  return async () => {
    await Promise.all([servers.stop(), program.remove()]);
  };
}
