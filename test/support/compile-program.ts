import { cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Within the checkout, where the compiled program finds the packages that it imports. */
const CACHE = path.join(ROOT, "node_modules", ".cache");
const MIGRATIONS = path.join("src", "db", "postgres", "migrations");
/** esbuild leaves the name of an imported file as it is written. */
const SOURCE_IMPORT = /(\b(?:from|import)\s*\(?\s*"\.{1,2}\/[^"]+)\.ts"/g;

/** The program as an image runs it, and how to remove it. */
export interface CompiledProgram {
  /** a file for Node */
  readonly file: string;
  remove(): Promise<void>;
}

/**
 * Compiles the sources, without checking their types, for the processes that tests start: a process of the compiled
 * program takes 0.5 s of CPU until it works, one that compiles its sources as it starts 1.6 s.
 */
export async function compileProgram(): Promise<CompiledProgram> {
  const folder = path.join(CACHE, `tallyman-${process.pid}`);
  const { outputFiles } = await build({
    entryPoints: [...(await sources("src")), ...(await sources("manifests"))],
    outbase: ROOT,
    outdir: folder,
    format: "esm",
    platform: "node",
    target: "node20",
    write: false,
    logLevel: "warning",
  });
  for (const { path: file, text } of outputFiles) {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text.replace(SOURCE_IMPORT, '$1.js"'));
  }
  await cp(path.join(ROOT, MIGRATIONS), path.join(folder, MIGRATIONS), { recursive: true });
  await cp(path.join(ROOT, "package.json"), path.join(folder, "package.json"));
  return { file: path.join(folder, "src", "cli.js"), remove: () => rm(folder, { recursive: true, force: true }) };
}

async function sources(part: string): Promise<string[]> {
  const names = await readdir(path.join(ROOT, part), { recursive: true });
  return names.filter((name) => name.endsWith(".ts")).map((name) => path.join(ROOT, part, name));
}
