import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { Redis } from "ioredis";
import { inContainer } from "./docker.ts";
import { install, type Recipe } from "./install.ts";
import { onPath, runServer } from "./process.ts";
import { Unavailable, type Run, type Running, type ServerKind } from "./source.ts";

/** Nothing on disk, and nothing evicted: BullMQ needs the latter. */
const SETTINGS = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"];

export const redis: ServerKind = {
  server: "redis",
  setting: "REDIS_URL",
  ping,
  sources: [
    inContainer({
      image: { setting: "TALLYMAN_REDIS_IMAGE", name: "redis:8" },
      port: 6379,
      command: () => ["redis-server", ...SETTINGS, "--bind", "0.0.0.0", "--protected-mode", "no"],
      uri: (host, port) => `redis://${host}:${port}`,
      ping,
    }),
    {
      name: "redis-server on the PATH",
      async start(run) {
        for (const program of ["redis-server", "valkey-server"]) {
          const binary = await onPath(program);
          if (binary !== undefined) return Object.assign(await runRedis(run, binary), { source: binary });
        }
        throw new Unavailable("neither redis-server nor valkey-server found");
      },
    },
    {
      name: "redis-server from the system's packages",
      async start(run) {
        const folder = await install(packagedRedis, run);
        const env = { LD_LIBRARY_PATH: (await libraryFolders(folder)).join(":") };
        const binary = path.join(folder, packagedRedis.proof);
        return Object.assign(await runRedis(run, binary, env), { source: binary });
      },
    },
  ],
  fix: () => (process.platform === "darwin" ? "brew install redis" : "sudo apt-get install -y redis-server"),
};

/**
 * Unpacks the package instead of installing it, which would start a Redis as a service of the machine. Libraries that
 * the machine lacks are unpacked too.
 */
export const packagedRedis: Recipe = {
  name: "redis-packages-1",
  title: "redis",
  proof: "usr/bin/redis-server",
  deadlineMs: 5 * 60_000,
  async check() {
    if ((await onPath("apt-get")) === undefined) throw new Unavailable("no apt-get here");
  },
  async build(folder, { run }) {
    const archives = path.join(folder, "archives");
    await mkdir(path.join(archives, "partial"), { recursive: true });
    // Package tools drop root for the download and must be able to write there.
    await chmod(archives, 0o755);
    const fetch = [
      "apt-get -y --download-only --reinstall --no-install-recommends -o Debug::NoLocking=1",
      '-o "Dir::Cache::archives=$1" -o APT::Sandbox::User=root install redis-server redis-tools',
    ].join(" ");
    const script = `set -e\n${fetch} || { apt-get update; ${fetch}; }\nfor p in "$1"/*.deb; do dpkg -x "$p" "$2"; done\nrm -rf "$1"`;
    await run({ title: "apt-get", command: "/bin/sh", args: ["-c", script, "sh", archives, folder] }, 4 * 60_000);
  },
};

async function libraryFolders(folder: string): Promise<string[]> {
  const lib = path.join(folder, "usr/lib");
  const names = await readdir(lib, { withFileTypes: true }).catch(() => []);
  return names.filter((entry) => entry.isDirectory()).map((entry) => path.join(lib, entry.name));
}

async function runRedis(run: Run, binary: string, env: Record<string, string> = {}): Promise<Running> {
  const data = path.join(run.guard.folder, `redis-${randomBytes(4).toString("hex")}`);
  await mkdir(data);
  return runServer(run.guard, {
    title: path.basename(binary),
    log: `${data}.log`,
    data,
    readyMs: 20_000,
    command: (port) => ({
      command: binary,
      args: [...(run.redisArgs ?? []), "--port", String(port), "--bind", "127.0.0.1", "--dir", data, ...SETTINGS],
      env,
      stopSignal: "SIGTERM",
    }),
    uri: (port) => `redis://127.0.0.1:${port}`,
    ping,
  });
}

async function ping(uri: string): Promise<void> {
  const client = new Redis(uri, {
    lazyConnect: true,
    connectTimeout: 4_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let failure: Error | undefined;
  client.on("error", (error: Error) => (failure ??= error));
  try {
    await client.connect();
    await client.ping();
  } catch (error) {
    // The client says "Connection is closed."; the event said why.
    throw failure ?? error;
  } finally {
    client.disconnect();
  }
}
