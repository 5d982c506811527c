import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { MongoClient } from "mongodb";
import { inContainer } from "./docker.ts";
import { startFerretdb } from "./ferretdb.ts";
import { install, type Recipe } from "./install.ts";
import { isExecutable, onPath, runServer } from "./process.ts";
import { reason, Unavailable, type Run, type Running, type ServerKind } from "./source.ts";

export const mongodb: ServerKind = {
  server: "mongodb",
  setting: "MONGODB_URI",
  ping,
  sources: [
    inContainer({
      image: { setting: "TALLYMAN_MONGO_IMAGE", name: "mongo:8" },
      port: 27017,
      uri: (host, port) => `mongodb://${host}:${port}/?directConnection=true`,
      ping,
    }),
    {
      name: "mongod on this machine",
      async start(run) {
        const named = process.env["MONGOMS_SYSTEM_BINARY"];
        if (named !== undefined && !(await isExecutable(named))) {
          throw new Unavailable(`MONGOMS_SYSTEM_BINARY names ${named}, which is no program`);
        }
        const binary = named ?? (await onPath("mongod"));
        if (binary === undefined) throw new Unavailable("no mongod on the PATH");
        return Object.assign(await runMongod(run, binary), { source: binary });
      },
    },
    {
      name: "mongod from its download site",
      async start(run) {
        const binary = path.join(await install(downloadedMongod, run), downloadedMongod.proof);
        return Object.assign(await runMongod(run, binary), { source: binary });
      },
    },
    {
      name: "FerretDB with DocumentDB",
      async start(run) {
        const running = await startFerretdb(run, ping);
        return Object.assign(running, { source: "FerretDB 2.7 on PostgreSQL 18 with DocumentDB" });
      },
    },
  ],
  async fix() {
    if (process.platform === "darwin") return "brew install mongodb/brew/mongodb-community";
    const hasDocker = (await onPath("docker")) !== undefined;
    return hasDocker ? "sudo systemctl start docker" : "curl -fsSL https://get.docker.com | sh";
  },
};

const DOWNLOAD_MS = 5 * 60_000;

/** mongodb-memory-server knows which build fits the machine. */
const downloadedMongod: Recipe = {
  name: "mongod-1",
  title: "mongod",
  proof: "mongod",
  deadlineMs: DOWNLOAD_MS,
  async check() {
    const site = process.env["MONGOMS_DOWNLOAD_MIRROR"] ?? "https://fastdl.mongodb.org";
    await fetch(site, { method: "HEAD", signal: AbortSignal.timeout(3_000) }).catch((error: unknown) => {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      throw new Unavailable(`${site} does not answer (${reason(cause)})`);
    });
  },
  async build(folder, { run, print }) {
    print("downloading");
    // In a process of its own, since it writes its progress to the standard output.
    const script = [
      'import { copyFile } from "node:fs/promises";',
      'import { MongoBinary } from "mongodb-memory-server-core";',
      "const [folder] = process.argv.slice(1);",
      "const file = await MongoBinary.getPath({ downloadDir: `${folder}/download` });",
      "await copyFile(file, `${folder}/mongod`);",
    ].join("\n");
    const args = ["--input-type=module", "--eval", script, folder];
    await run({ title: "the download", command: process.execPath, args, cwd: import.meta.dirname }, DOWNLOAD_MS);
    await rm(path.join(folder, "download"), { recursive: true, force: true });
  },
};

async function runMongod(run: Run, binary: string): Promise<Running> {
  const data = path.join(run.guard.folder, `mongod-${randomBytes(4).toString("hex")}`);
  await mkdir(data);
  return runServer(run.guard, {
    title: "mongod",
    log: `${data}.log`,
    data,
    readyMs: 30_000,
    command: (port) => ({
      command: binary,
      args: [
        ...["--port", String(port), "--bind_ip", "127.0.0.1", "--dbpath", data],
        ...["--nounixsocket", "--wiredTigerCacheSizeGB", "0.5"],
      ],
      graceMs: 10_000,
    }),
    uri: (port) => `mongodb://127.0.0.1:${port}/?directConnection=true`,
    ping,
  });
}

async function ping(uri: string): Promise<void> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 4_000, connectTimeoutMS: 4_000 });
  try {
    await client.db("admin").command({ ping: 1 });
  } finally {
    await client.close();
  }
}
