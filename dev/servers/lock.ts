import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

interface Holder {
  readonly pid: number;
  /** a pid is used again; pid and start time together are not */
  readonly started: string;
  /** a pid means something only in its own namespace: a cache folder may be shared with containers */
  readonly namespace: string;
}

/**
 * Takes the lock file, waiting while a living process holds it and breaking the lock of a dead one. Returns what gives
 * it back. Two processes that break the same lock in the same instant might both believe to hold it; an install bears
 * that, since it builds under a name of its own.
 */
export async function takeLock(
  file: string,
  options: { readonly deadlineMs: number; readonly onWait: (pid: number) => void; readonly pollMs?: number },
): Promise<() => Promise<void>> {
  const mine = JSON.stringify(describe(process.pid));
  const deadline = Date.now() + options.deadlineMs;
  let told = false;
  for (;;) {
    if (await create(file, mine)) {
      return async () => {
        if ((await read(file)) === mine) await rm(file, { force: true });
      };
    }
    const text = await read(file);
    if (text === undefined) continue;
    const holder = parse(text);
    if (holder === undefined || isDead(holder)) {
      await breakLock(file, text);
      continue;
    }
    if (!told) options.onWait(holder.pid);
    told = true;
    if (Date.now() > deadline) {
      throw new Error(`process ${holder.pid} still holds ${file}; remove that file if it is not installing`);
    }
    await sleep(options.pollMs ?? 250);
  }
}

/** Creates the file with its content in one step, so that nobody reads a lock that is not written yet. */
async function create(file: string, content: string): Promise<boolean> {
  const draft = `${file}.${process.pid}-${randomBytes(4).toString("hex")}`;
  await writeFile(draft, content);
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Only one of several breakers gets the file by the rename; a lock that was renewed meanwhile is put back. */
async function breakLock(file: string, stale: string): Promise<void> {
  const aside = `${file}.broken-${process.pid}-${randomBytes(4).toString("hex")}`;
  try {
    await rename(file, aside);
  } catch {
    return;
  }
  if ((await read(aside)) !== stale) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

async function read(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}

function parse(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    if (typeof value.pid !== "number" || typeof value.started !== "string") return undefined;
    return { pid: value.pid, started: value.started, namespace: value.namespace ?? "0" };
  } catch {
    return undefined;
  }
}

function describe(pid: number): Holder {
  return { pid, started: startTime(pid) ?? "", namespace: pidNamespace() };
}

function isDead(holder: Holder): boolean {
  if (holder.namespace !== pidNamespace()) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return true;
  }
  const started = startTime(holder.pid);
  return started !== undefined && started !== holder.started;
}

/** In clock ticks since the boot; undefined where there is no /proc. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Field 22; the second one is the command in parentheses and may hold spaces.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** The number of this process's pid namespace; "0" where there is no /proc. */
export function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, "");
  } catch {
    return "0";
  }
}
