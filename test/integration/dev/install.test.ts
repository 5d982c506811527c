import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Guard } from "../../../dev/servers/guard.ts";
import { install } from "../../../dev/servers/install.ts";
import { eventually, isAlive, startParent } from "./processes.ts";
import { failingRecipe, quickRecipe } from "./recipes.ts";

let guard: Guard;
let cache: string;
let lines: string[];
let builds: string[];

const print = (line: string) => void lines.push(line);
const leftIn = async (folder: string) => (await readdir(folder)).filter((name) => name !== "logs").sort();

beforeEach(async () => {
  cache = await mkdtemp(path.join(tmpdir(), "tallyman-test-"));
  guard = await Guard.start();
  lines = [];
  builds = [];
});

afterEach(async () => {
  await guard.end();
  await rm(cache, { recursive: true, force: true });
});

test("a complete install is used again", async () => {
  const recipe = quickRecipe(builds);
  const folder = await install(recipe, { guard, cache, print });
  expect(await install(recipe, { guard, cache, print })).toBe(folder);
  expect(builds).toHaveLength(1);
  expect(await leftIn(cache)).toEqual(["quick-1"]);
});

test.each([
  ["the marker", ".complete"],
  ["the program", "bin/tool"],
])("an install without %s is made again, and what a cut-off one left is removed", async (_what, file) => {
  const recipe = quickRecipe(builds);
  const folder = await install(recipe, { guard, cache, print });
  await rm(path.join(folder, file));
  await writeFile(path.join(folder, "half-done"), "");
  await writeFile(path.join(cache, "quick-1.partial-0"), "");
  await install(recipe, { guard, cache, print });
  expect(builds).toHaveLength(2);
  expect(await leftIn(cache)).toEqual(["quick-1"]);
  expect((await readdir(folder)).sort()).toEqual([".complete", "bin"]);
});

test("a failed install says why and where its log is, and leaves nothing", async () => {
  const log = path.join(cache, "logs", "failing-1.log");
  await expect(install(failingRecipe, { guard, cache, print })).rejects.toThrow(
    `failed (3), log ${log}: the disk is full`,
  );
  expect(await leftIn(cache)).toEqual([]);
});

test("two at once: the second waits and says so, and one install is made", async () => {
  const waits = `quick: waiting for process ${process.pid}, which is installing it`;
  const recipe = quickRecipe(builds, () => eventually(() => expect(lines).toContain(waits)));
  await Promise.all([install(recipe, { guard, cache, print }), install(recipe, { guard, cache, print })]);
  expect(builds).toHaveLength(1);
});

test("the lock of a dead process is broken, that of a living one is waited for", async () => {
  const holder = spawn("sleep", ["600"], { stdio: "ignore" });
  try {
    const [, started] = [holder.pid, await startTime(holder.pid)];
    const namespace = (await import("../../../dev/servers/lock.ts")).pidNamespace();
    await writeFile(path.join(cache, "quick-1.lock"), JSON.stringify({ pid: holder.pid, started, namespace }));
    const installing = install(quickRecipe(builds), { guard, cache, print });
    await eventually(() => expect(lines).toContain(`quick: waiting for process ${holder.pid}, which is installing it`));
    expect(builds).toHaveLength(0);
    holder.kill("SIGKILL");
    await installing;
    expect(builds).toHaveLength(1);
    expect(await leftIn(cache)).toEqual(["quick-1"]);
  } finally {
    holder.kill("SIGKILL");
  }
});

test("an install ends with the process that asked for it, and the next one finds nothing half done", async () => {
  const parent = startParent(["install", cache], tmpdir());
  const partial = await eventually(async () => {
    const found = (await leftIn(cache)).find((name) => name.startsWith("endless-1.partial-"));
    if (found === undefined) throw new Error("not begun");
    return path.join(cache, found);
  });
  const pid = await eventually(async () => {
    const text = await readFile(path.join(partial, "pid"), "utf8");
    if (text.trim() === "") throw new Error("not noted yet");
    return Number(text);
  });
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await eventually(async () => {
    expect(isAlive(pid)).toBe(false);
    expect(await leftIn(cache)).toEqual(["endless-1.lock"]);
  });
});

async function startTime(pid: number | undefined): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
