/**
 * The guard: a small process of its own, in a session of its own, that starts the servers and ends them.
 *
 * The servers are its children, not the parent's, so that at no moment a server runs that nobody would end: when the
 * parent ends in whatever way (exit, Ctrl-C, SIGKILL), the channel to it closes, and the guard stops its processes and
 * removes the registered folders. Plain JavaScript, because it must start without a loader.
 *
 * It signals only processes it started itself, by pid.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as after, clearTimeout } from "node:timers";

/** @type {Map<number, { child: import("node:child_process").ChildProcess, spec: any, exited: Promise<void>, gone: boolean }>} */
const children = new Map();
/** @type {Set<string>} folders to remove at the end */
const folders = new Set();
/** @type {string | undefined} label of the containers to remove at the end, "name=value" */
let containerLabel;
/** @type {Promise<string[]> | undefined} */
let ending;

// A Ctrl-C reaches the session of the terminal only, but a supervisor may signal every process of a job.
process.on("SIGINT", () => {});
process.on("SIGHUP", () => {});
process.on("SIGTERM", () => void end());
process.on("disconnect", () => void end());
process.on("message", (message) => void answer(message));
// Whatever goes wrong in here, the servers must not outlive it.
process.on("uncaughtException", () => void end());
tell({ ready: true });

/** Sends to a parent that may have ended; then the failure is ignored, since the channel closes anyway. */
function tell(message) {
  if (process.connected) process.send(message, () => {});
}

async function answer(message) {
  const reply = { seq: message.seq };
  try {
    Object.assign(reply, await handle(message));
  } catch (error) {
    reply.error = error instanceof Error ? error.message : String(error);
  }
  tell(reply);
}

async function handle(message) {
  switch (message.op) {
    case "spawn":
      return { pid: await start(message.id, message.spec) };
    case "stop":
      await stop(message.id, message.signal);
      return {};
    case "own":
      folders.add(message.folder);
      return {};
    case "disown":
      folders.delete(message.folder);
      return {};
    case "remove":
      await remove(message.folder);
      folders.delete(message.folder);
      return {};
    case "containers":
      containerLabel = message.label;
      return {};
    case "sweep":
      await sweep();
      return {};
    case "end":
      ending ??= cleanUp();
      return { left: await ending };
    default:
      throw new Error(`unknown request ${message.op}`);
  }
}

async function start(id, spec) {
  if (ending) throw new Error("the guard is ending");
  const log = spec.log === undefined ? "ignore" : openSync(spec.log, "a", 0o644);
  try {
    const child = spawn(spec.command, spec.args, {
      // A group of its own, so that an installer and all it started can be ended together.
      detached: true,
      stdio: ["ignore", log, log],
      cwd: spec.cwd ?? "/",
      env: { ...process.env, ...spec.env },
      ...(spec.uid === undefined ? {} : { uid: spec.uid, gid: spec.gid }),
    });
    const entry = { child, spec, gone: false, exited: Promise.resolve() };
    entry.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        entry.gone = true;
        children.delete(id);
        // Now, while the group's number cannot belong to another group yet.
        if (spec.group) sendGroup(entry, "SIGKILL");
        tell({ exit: id, code, signal });
        resolve();
      });
    });
    await new Promise((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    if (!entry.gone) children.set(id, entry);
    if (ending) await stop(id);
    return child.pid;
  } finally {
    if (typeof log === "number") closeSync(log);
  }
}

/** Sends the signal that stops the server cleanly, waits, and kills it if it does not end. */
async function stop(id, signal) {
  const entry = children.get(id);
  if (!entry) return;
  send(entry, signal ?? entry.spec.stopSignal ?? "SIGTERM");
  if (!(await endsWithin(entry, entry.spec.graceMs ?? 5_000))) {
    send(entry, "SIGKILL");
    await endsWithin(entry, 5_000);
  }
}

function send(entry, signal) {
  if (entry.gone) return;
  if (entry.spec.group) sendGroup(entry, signal);
  else entry.child.kill(signal);
}

function sendGroup(entry, signal) {
  try {
    process.kill(-entry.child.pid, signal);
  } catch {
    // The group is empty.
  }
}

async function endsWithin(entry, ms) {
  let timer;
  const late = new Promise((resolve) => (timer = after(resolve, ms)));
  await Promise.race([entry.exited, late]);
  clearTimeout(timer);
  return entry.gone;
}

/** Stops everything: first what stands in front of another server, then the rest; then folders. Idempotent. */
async function cleanUp() {
  const left = [];
  const attempt = async (what, work) => {
    try {
      await work();
    } catch (error) {
      left.push(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  for (const first of [true, false]) {
    const wave = [...children].filter(([, entry]) => Boolean(entry.spec.stopFirst) === first);
    await Promise.all(wave.map(([id]) => stop(id)));
  }
  for (const [, entry] of children) left.push(`process ${entry.child.pid} did not end`);
  if (containerLabel !== undefined) await attempt("containers", removeContainers);
  for (const folder of folders) await attempt(folder, () => remove(folder));
  return left;
}

async function end() {
  ending ??= cleanUp();
  await ending;
  process.exit(0);
}

async function removeContainers() {
  const { getContainerRuntimeClient } = await import("testcontainers");
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const found = await dockerode.listContainers({ all: true, filters: { label: [containerLabel] } });
  await Promise.all(found.map(({ Id }) => dockerode.getContainer(Id).remove({ force: true, v: true })));
}

/** Never goes into another file system, and refuses where one is mounted: a system folder may be bound in there. */
async function remove(folder) {
  const mounted = mountsUnder(folder);
  if (mounted.length > 0) throw new Error(`not removed, something is mounted in it: ${mounted.join(", ")}`);
  const flags = process.platform === "linux" ? ["-rf", "--one-file-system"] : ["-rf"];
  const child = spawn("rm", [...flags, "--", folder], { stdio: "ignore", detached: true });
  const code = await new Promise((resolve, reject) => {
    child.once("exit", resolve);
    child.once("error", reject);
  });
  if (code !== 0) throw new Error(`rm exited with ${code}`);
}

function mountsUnder(folder) {
  if (process.platform !== "linux") return [];
  const lines = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const points = lines.map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "));
  return points.filter((point) => point === folder || point.startsWith(`${folder}/`));
}

/** Removes the folders of guards that were killed themselves. A pid means something only in its own namespace. */
async function sweep() {
  const prefix = `tallyman-run-${pidNamespace()}-`;
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const pid = Number(name.slice(prefix.length).split("-")[0]);
    if (!Number.isInteger(pid) || pid <= 0 || isAlive(pid)) continue;
    await remove(path.join(tmpdir(), name)).catch(() => {});
  }
}

function pidNamespace() {
  try {
    return readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, "");
  } catch {
    return "0";
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
