import { cp, rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CACHE = path.join(ROOT, "node_modules", ".cache");

/** Packages that the MongoDB driver and BullMQ use only where somebody has installed them. */
const OPTIONAL = [
  "@aws-sdk/credential-providers",
  "@mongodb-js/zstd",
  "aws4",
  "gcp-metadata",
  "kerberos",
  "mongodb-client-encryption",
  "msgpackr-extract",
  "pg-native",
  "snappy",
  "socks",
];

/** The compiled program, and how to remove it. */
export interface CompiledProgram {
  /** a file for Node */
  readonly file: string;
  remove(): Promise<void>;
}

/**
 * Compiles the program into few files, its packages included and its types unchecked, for the processes that tests
 * start: such a process takes 0.3 to 0.5 s of CPU until it works, compiled file by file twice, and through tsx, which
 * compiles at each start, four times as long.
 */
export async function compileProgram(): Promise<CompiledProgram> {
  const folder = path.join(CACHE, `tallyman-${process.pid}`);
  await build({
    entryPoints: [path.join(ROOT, "src", "cli.ts")],
    outdir: folder,
    bundle: true,
    splitting: true,
    external: OPTIONAL,
    format: "esm",
    platform: "node",
    target: "node20",
    keepNames: true, // errors are told by their names
    // What packages in CommonJS call.
    banner: {
      js: 'import { createRequire as newRequire } from "node:module"; const require = newRequire(import.meta.url);',
    },
    logLevel: "error",
  });
  // What the program looks for beside its code.
  await cp(path.join(ROOT, "src", "db", "postgres", "migrations"), path.join(folder, "migrations"), {
    recursive: true,
  });
  await cp(path.join(ROOT, "package.json"), path.join(folder, "package.json"));
  return { file: path.join(folder, "cli.js"), remove: () => rm(folder, { recursive: true, force: true }) };
}
