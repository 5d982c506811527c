import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import type { Recipe } from "./install.ts";
import { isRoot, onPath, runServer } from "./process.ts";
import { asFlags, INITDB, pingPostgres, throwAway, userOf } from "./postgres.ts";
import { reason, Unavailable, type Run, type Running } from "./source.ts";

const BIN = "/usr/lib/postgresql/18/bin";
/** Flags of `apt-get` in the folder: its release file may be out of date, and the folder need not survive a crash. */
const APT =
  "apt-get -y --no-install-recommends -o Acquire::Check-Valid-Until=false -o Dpkg::Options::=--force-unsafe-io";

/**
 * Runs a command inside the folder, in a mount namespace of its own: what is mounted there (proc, sys, dev, and at /mnt
 * the folder `$2`) exists for that process only and goes with it. So no mount outlives a run or a reboot, two runs do
 * not meet, and removing the folder can never reach the machine's own /dev.
 */
const ENTER = `set -e
root=$1 mnt=$2; shift 2
mount --bind /proc "$root/proc"; mount --bind /sys "$root/sys"; mount --rbind /dev "$root/dev"
[ -z "$mnt" ] || mount --bind "$mnt" "$root/mnt"
exec chroot "$@"`;
const NAMESPACE = ["--mount", "--propagation", "private"];
/** For installs also a pid namespace: whatever they start ends with them. */
const SANDBOX = [...NAMESPACE, "--pid", "--fork", "--kill-child", "--mount-proc"];
const LET_FINISH = { stopSignal: "SIGCONT", graceMs: 2 * 60_000 } as const;

/** A Debian sid with PostgreSQL 18 and the DocumentDB extension; its libraries are newer than those of the machine. */
export const documentdbSystem: Recipe = {
  name: "documentdb-sid-pg18-1",
  title: "documentdb",
  proof: `.${BIN}/postgres`,
  deadlineMs: 15 * 60_000,
  async build(folder, { run, print }) {
    if ((await onPath("debootstrap")) === undefined) {
      print("installing debootstrap");
      const add =
        "apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 debootstrap debian-archive-keyring";
      const args = ["-c", `${add} || { apt-get update; ${add}; }`];
      // This command changes the machine itself: interrupted, it would leave the package system half done.
      await run({ title: "apt-get install debootstrap", command: "/bin/sh", args, ...LET_FINISH }, 3 * 60_000);
    }
    print("unpacking the base system (1 of 2)");
    const mirror = process.env["TALLYMAN_DEBIAN_MIRROR"];
    const base = ["debootstrap", "--variant=minbase", "sid", folder, ...(mirror === undefined ? [] : [mirror])];
    await run(
      { title: "debootstrap", command: "unshare", args: [...SANDBOX, ...base], stopSignal: "SIGKILL" },
      8 * 60_000,
    );
    // No service may start in the folder.
    await writeFile(path.join(folder, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    print("installing PostgreSQL 18 with DocumentDB (2 of 2)");
    const script = `set -e
${APT} update
${APT} install postgresql-common
sed -ri 's/^#?create_main_cluster .*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
${APT} install postgresql-18-documentdb
apt-get clean; rm -rf /var/lib/apt/lists/*`;
    const inside = ["/bin/sh", "-c", ENTER, "sh", folder, "", folder, "/bin/sh", "-c", script];
    await run(
      { title: "apt-get in the new system", command: "unshare", args: [...SANDBOX, ...inside], stopSignal: "SIGKILL" },
      8 * 60_000,
    );
  },
};

/** Throws when the folder cannot be made or used here. */
export async function checkDocumentdb(): Promise<void> {
  if (process.platform !== "linux") throw new Unavailable("FerretDB's PostgreSQL needs Linux");
  if (!isRoot()) throw new Unavailable("FerretDB's PostgreSQL runs by chroot, which needs root", asRoot());
  for (const program of ["unshare", "chroot", "mount"]) {
    if ((await onPath(program)) === undefined) throw new Unavailable(`no ${program} here`);
  }
  // Root in a container may often not mount.
  await promisify(execFile)("unshare", [...NAMESPACE, "true"], { timeout: 10_000 }).catch((error: unknown) => {
    throw new Unavailable(`this root may not make mounts (${reason(error)})`);
  });
  const installer = (await onPath("debootstrap")) ?? (await onPath("apt-get"));
  if (installer === undefined) throw new Unavailable("neither debootstrap nor apt-get here");
}

function asRoot(): string {
  const script = process.env["npm_lifecycle_event"];
  const command =
    script === undefined
      ? [process.argv[0], ...process.execArgv, ...process.argv.slice(1)].join(" ")
      : `npm run ${script}`;
  return `sudo env "PATH=$PATH" ${command}`;
}

/** Starts a private cluster from the installed folder, with the extension created. */
export async function runDocumentdb(run: Run, root: string): Promise<Running> {
  const { guard } = run;
  const owner = await userOf(path.join(root, "etc/passwd"), "postgres");
  if (owner === undefined) throw new Unavailable(`${root} has no user postgres`);
  const folder = path.join(guard.folder, `documentdb-${randomBytes(4).toString("hex")}`);
  await mkdir(folder, { mode: 0o700 });
  await chown(folder, owner.uid, owner.gid);
  const log = `${folder}.log`;
  const inside = (program: string, args: readonly string[]) => ({
    command: "unshare",
    args: [
      ...NAMESPACE,
      ...["/bin/sh", "-c", ENTER, "sh", root, folder, "--userspec=postgres:postgres", root],
      ...[`${BIN}/${program}`, "-D", "/mnt/data", ...args],
    ],
    env: { LC_ALL: "C" },
    log,
  });
  await guard.run(inside("initdb", INITDB), 60_000);
  const settings = {
    ...throwAway(run),
    shared_buffers: "512MB",
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    shared_preload_libraries: "pg_cron,pg_documentdb_core,pg_documentdb",
    "cron.database_name": "postgres",
    // What runs by the clock starts a process or two each second, and nothing here waits for it: TTL deletes, and
    // index builds that were asked for in the background.
    "cron.launch_active_jobs": "off",
    "documentdb.enableBackgroundWorkerJobs": "off",
  };
  const running = await runServer(guard, {
    title: "FerretDB's PostgreSQL",
    log,
    data: folder,
    readyMs: 30_000,
    command: (port) => ({
      ...inside("postgres", ["-p", String(port), ...asFlags(settings)]),
      stopSignal: "SIGINT",
      graceMs: 10_000,
    }),
    uri: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    ping: pingPostgres,
  });
  const client = new pg.Client({ connectionString: running.uri });
  await client.connect();
  try {
    await client.query("CREATE EXTENSION IF NOT EXISTS documentdb CASCADE");
  } finally {
    await client.end();
  }
  return running;
}
