import { execFile } from "node:child_process";
import { mkdtemp, open, rm, stat, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { startPostgres, type PrivateServer } from "../../../dev/servers.ts";
import { below } from "../../support/random.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

const run = promisify(execFile);

/** Room for the tables of a few scenes, on a disk of their own. */
const DISK = "64m";
const REFUSED = "No space left on device";

/** The disk with the tables is full for some seconds, in the middle of a run. */
export const diskFull: Scenario = {
  name: "disk-full",
  owns: ["postgres"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  start: { postgres: startOnSmallDisk },
  impossible: () =>
    process.platform === "linux" && process.getuid?.() === 0 ? undefined : "only root of a Linux may mount a disk",
  async inject(scene) {
    const runId = await scene.backfill();
    const replicas = [await scene.startReplica(), await scene.startReplica()];
    const fullS = 3 + below(scene.random, 25);
    const moment = await scene.someMoment(runId, 5, 30);
    const { held, done, planned } = await scene.progress(runId);
    const disk = disks.get(scene.servers.postgres) as string;
    const filler = path.join(disk, "filler");
    await fill(filler, disk);
    await sleep(fullS * 1_000);
    const refused = replicas.filter(({ log }) => log.includes(REFUSED)).length;
    await rm(filler);
    const at = performance.now();
    return {
      moment,
      hit:
        refused > 0 && held[0]
          ? `full for ${fullS} s: ${refused} workers refused, chunk ${held[0].number} in hand at ${done}/${planned}`
          : undefined,
      at,
      faults: () => scene.spentAttempts(runId, "a full disk"),
    };
  },
};

/** The folder of each server's small disk. */
const disks = new WeakMap<PrivateServer, string>();

/** A PostgreSQL whose tables are on a disk in memory; its log of writes stays where it was. */
async function startOnSmallDisk(): Promise<PrivateServer> {
  const server = await startPostgres();
  const disk = await mkdtemp(path.join(tmpdir(), "tallyman-disk-"));
  const client = new pg.Client({ connectionString: server.uri });
  await client.connect();
  try {
    const { rows } = await client.query<{ folder: string }>("SELECT current_setting('data_directory') AS folder");
    const { uid, gid } = await stat(rows[0]?.folder as string);
    await run("mount", ["-t", "tmpfs", "-o", `size=${DISK},uid=${uid},gid=${gid},mode=700`, "tallyman", disk]);
    await client.query(`CREATE TABLESPACE small LOCATION '${disk}'`);
    await client.query("ALTER SYSTEM SET default_tablespace = small");
    await client.query("SELECT pg_reload_conf()");
  } finally {
    await client.end();
  }
  const stop = server.stop.bind(server);
  const small = Object.assign(server, {
    async stop() {
      await stop();
      await run("umount", [disk]);
      await rm(disk, { recursive: true });
    },
  });
  disks.set(small, disk);
  return small;
}

/** Takes all that is left of the disk. */
async function fill(file: string, disk: string): Promise<void> {
  const handle = await open(file, "w");
  try {
    for (;;) {
      const { bavail, bsize } = await statfs(disk);
      if (bavail === 0) return;
      await handle.appendFile(Buffer.alloc(Math.min(bavail * bsize, 1024 * 1024)));
    }
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOSPC") throw error;
  } finally {
    await handle.close();
  }
}
