import { randomBytes } from "node:crypto";
import { access, mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import type { Guard, ProcessSpec } from "./guard.ts";
import { takeLock } from "./lock.ts";

/** An install into a folder of the cache, once per machine. */
export interface Recipe {
  /** the folder's name in the cache; it carries the version, so that a new one is a new folder */
  readonly name: string;
  /** for the lines of progress */
  readonly title: string;
  /** a file that a complete folder must have, relative to it; without it the install is repeated */
  readonly proof: string;
  /** Throws when it cannot be installed here, before anything is begun. */
  check?(): Promise<void>;
  /** how long another process's install is waited for */
  readonly deadlineMs: number;
  /** Fills the folder. Every command goes through `run`, which bounds it and ends it with this process. */
  build(folder: string, tools: InstallTools): Promise<void>;
}

export interface InstallTools {
  readonly log: string;
  readonly print: (line: string) => void;
  readonly run: (spec: Omit<ProcessSpec, "log" | "group">, deadlineMs: number) => Promise<void>;
}

const MARKER = ".complete";

export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return env["TALLYMAN_CACHE"] ?? path.join(env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "tallyman");
}

/**
 * The folder of a complete install, made first if need be. It is built under a name of its own, marked as complete as
 * the last step and only then renamed, so that an install that was cut off is never taken for a whole one.
 */
export async function install(
  recipe: Recipe,
  context: { readonly guard: Guard; readonly print: (line: string) => void; readonly cache?: string },
): Promise<string> {
  const cache = path.resolve(context.cache ?? cacheFolder());
  const folder = path.join(cache, recipe.name);
  if (await isComplete(folder, recipe)) return folder;
  await recipe.check?.();
  await mkdir(path.join(cache, "logs"), { recursive: true });
  const release = await takeLock(`${folder}.lock`, {
    deadlineMs: recipe.deadlineMs,
    onWait: (pid) => context.print(`${recipe.title}: waiting for process ${pid}, which is installing it`),
  });
  try {
    if (await isComplete(folder, recipe)) return folder;
    await removeLeftovers(cache, recipe, context);
    await buildAside(folder, recipe, cache, context);
    return folder;
  } finally {
    await release();
  }
}

async function buildAside(
  folder: string,
  recipe: Recipe,
  cache: string,
  { guard, print }: { readonly guard: Guard; readonly print: (line: string) => void },
): Promise<void> {
  const partial = `${folder}.partial-${randomBytes(4).toString("hex")}`;
  const log = path.join(cache, "logs", `${recipe.name}.log`);
  await writeFile(log, "");
  await guard.own(partial);
  await mkdir(partial);
  const begun = Date.now();
  print(`${recipe.title}: installing into ${folder} (once; log: ${log})`);
  const tools: InstallTools = {
    log,
    print: (line) => print(`${recipe.title}: ${line}`),
    run: (spec, deadlineMs) =>
      guard.run({ ...spec, env: { DEBIAN_FRONTEND: "noninteractive", ...spec.env }, log }, deadlineMs),
  };
  try {
    await recipe.build(partial, tools);
    await access(path.join(partial, recipe.proof));
    await writeFile(path.join(partial, MARKER), `${new Date().toISOString()}\n`);
    await rename(partial, folder);
  } catch (error) {
    await guard.remove(partial).catch(() => undefined);
    throw error;
  }
  await guard.disown(partial);
  print(`${recipe.title}: installed in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
}

/** Removes the leftover of an interrupted install, and an incomplete folder. */
async function removeLeftovers(
  cache: string,
  recipe: Recipe,
  { guard, print }: { readonly guard: Guard; readonly print: (line: string) => void },
): Promise<void> {
  for (const name of await readdir(cache)) {
    if (name !== recipe.name && !name.startsWith(`${recipe.name}.partial-`)) continue;
    print(`${recipe.title}: removing a half done install (${name})`);
    await guard.remove(path.join(cache, name));
  }
}

async function isComplete(folder: string, recipe: Recipe): Promise<boolean> {
  try {
    await access(path.join(folder, MARKER));
    await access(path.join(folder, recipe.proof));
    return true;
  } catch {
    return false;
  }
}
