import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { checkDocumentdb, documentdbSystem, runDocumentdb } from "./documentdb.ts";
import { cacheFolder, install, type Recipe } from "./install.ts";
import { isExecutable, onPath, runServer } from "./process.ts";
import { Unavailable, type Run, type Running } from "./source.ts";

const VERSION = "v2.7.0";
const GO_NEEDED = [1, 25] as const;

export const ferretdbBinary: Recipe = {
  name: `ferretdb-${VERSION}`,
  title: "ferretdb",
  proof: "ferretdb",
  deadlineMs: 10 * 60_000,
  async build(folder, { run, print }) {
    print("compiling it with Go");
    const env = { GOBIN: folder, GOTOOLCHAIN: "local", GOFLAGS: "-buildvcs=false", CGO_ENABLED: "0" };
    const args = ["install", `github.com/FerretDB/FerretDB/v2/cmd/ferretdb@${VERSION}`];
    await run({ title: "go install", command: "go", args, env, cwd: folder }, 8 * 60_000);
  },
};

/**
 * FerretDB in front of a PostgreSQL of its own: MongoDB's protocol where no mongod is available. Both installs run in
 * parallel; obstacles are found before either begins.
 */
export async function startFerretdb(run: Run, ping: (uri: string) => Promise<void>): Promise<Running> {
  await checkDocumentdb();
  await checkGo();
  const [system, binary] = await Promise.all([install(documentdbSystem, run), install(ferretdbBinary, run)]);
  const behind = await runDocumentdb(run, system);
  const state = path.join(run.guard.folder, `ferretdb-${randomBytes(4).toString("hex")}`);
  await mkdir(state);
  const front = await runServer(run.guard, {
    title: "ferretdb",
    log: `${state}.log`,
    data: state,
    readyMs: 30_000,
    command: (port) => ({
      command: path.join(binary, ferretdbBinary.proof),
      args: [
        ...["--no-auth", "--telemetry=disable", "--debug-addr=-", "--log-level=warn", `--state-dir=${state}`],
        ...[`--listen-addr=127.0.0.1:${port}`, `--postgresql-url=${behind.uri}`],
      ],
      stopFirst: true,
    }),
    uri: (port) => `mongodb://127.0.0.1:${port}/?directConnection=true`,
    ping,
  });
  const stopFront = front.stop.bind(front);
  const stop = async () => {
    await stopFront();
    await behind.stop();
  };
  return Object.assign(front, { stop, behind });
}

async function checkGo(): Promise<void> {
  if (await isExecutable(path.join(cacheFolder(), ferretdbBinary.name, ferretdbBinary.proof))) return;
  const needed = `Go ${GO_NEEDED.join(".")} or newer`;
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  const archive = `https://go.dev/dl/go${GO_NEEDED.join(".")}.0.linux-${arch}.tar.gz`;
  const fix = `curl -fsSL ${archive} | tar -xz -C /usr/local && export PATH="/usr/local/go/bin:$PATH"`;
  const go = await onPath("go");
  if (go === undefined)
    throw new Unavailable(`FerretDB is compiled with ${needed}, and there is no go on the PATH`, fix);
  const { stdout } = await promisify(execFile)(go, ["env", "GOVERSION"], {
    env: { ...process.env, GOTOOLCHAIN: "local" },
    timeout: 10_000,
  });
  const [major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(stdout)?.slice(1) ?? []).map(Number);
  const enough = major > GO_NEEDED[0] || (major === GO_NEEDED[0] && minor >= GO_NEEDED[1]);
  if (!enough) throw new Unavailable(`FerretDB is compiled with ${needed}, and ${go} is ${stdout.trim()}`, fix);
}
