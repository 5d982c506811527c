import type { TestProject } from "vitest/node";
import { startServers } from "../../dev/servers.ts";

declare module "vitest" {
  interface ProvidedContext {
    mongodbUri: string;
    redisUrl: string;
    databaseUrl: string;
  }
}

/** Starts the servers once for all integration tests. A server that cannot be had fails the run; nothing is skipped. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const servers = await startServers({ print: (line) => void process.stderr.write(`${line}\n`) });
  project.provide("mongodbUri", servers.mongodbUri);
  project.provide("redisUrl", servers.redisUrl);
  project.provide("databaseUrl", servers.databaseUrl);
  return () => servers.stop();
}
