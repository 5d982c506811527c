import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { JOBS } from "../../src/jobs/index.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One source file, as the compiler reads it. */
interface Source {
  /** from the root, with slashes */
  readonly path: string;
  readonly lines: number;
  /** files of this repository that it imports, as `path`; types too */
  readonly files: readonly string[];
  /** files and packages that are loaded with it: neither types nor what it imports later */
  readonly loads: readonly string[];
  /** packages and node: modules that it imports */
  readonly packages: readonly string[];
  readonly readsEnvironment: boolean;
}

const SOURCES = ["src", "manifests"].flatMap(sourcesIn);
/** Those that are not shipped, too. */
const ALL = [...SOURCES, ...["dev", "bench", "test"].flatMap(sourcesIn)];

function sourcesIn(folder: string): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readSource(join(folder, name)));
}

function readSource(name: string): Source {
  const path = name.split(sep).join("/");
  const text = readFileSync(join(ROOT, name), "utf8");
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imported: string[] = [];
  const loaded: string[] = [];
  let readsEnvironment = false;
  const visit = (node: ts.Node): void => {
    const module = importedModule(node);
    if (module !== undefined) imported.push(module);
    if (module !== undefined && isLoaded(node)) loaded.push(module);
    readsEnvironment ||= isEnvironment(node);
    ts.forEachChild(node, visit);
  };
  visit(file);
  const isFile = (module: string) => module.startsWith(".");
  const fileOf = (module: string) => posix.join(posix.dirname(path), module);
  return {
    path,
    lines: text.split("\n").length - 1,
    files: [...new Set(imported.filter(isFile).map(fileOf))],
    loads: [...new Set(loaded.map((module) => (isFile(module) ? fileOf(module) : module)))],
    packages: [...new Set(imported.filter((module) => !isFile(module)))],
    readsEnvironment,
  };
}

/** The module that this node imports: a declaration, a type, or a call of import() or require(). */
function importedModule(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return textOf(node.moduleSpecifier);
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? textOf(node.argument.literal) : undefined;
  if (ts.isExternalModuleReference(node)) return textOf(node.expression);
  if (!ts.isCallExpression(node)) return undefined;
  const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword;
  const isRequire = ts.isIdentifier(node.expression) && node.expression.text === "require";
  if (!isImport && !isRequire) return undefined;
  return textOf(node.arguments[0]) ?? `computed at ${node.getSourceFile().fileName}`;
}

/** `import type` and `export type` leave nothing behind, and import() loads when it is called. */
function isLoaded(node: ts.Node): boolean {
  if (ts.isImportDeclaration(node)) {
    const { importClause: clause } = node;
    if (!clause) return true;
    const named = clause.namedBindings;
    const isTypes = named && ts.isNamedImports(named) && named.elements.every(({ isTypeOnly }) => isTypeOnly);
    return !clause.isTypeOnly && !(isTypes === true && clause.name === undefined);
  }
  return ts.isExportDeclaration(node) && !node.isTypeOnly;
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node && ts.isStringLiteralLike(node) ? node.text : undefined;
}

/** `process.env` and `process["env"]`, `{ env } = process`, and `env` or anything from node:process. */
function isEnvironment(node: ts.Node): boolean {
  const isProcess = (of: ts.Node | undefined) => of !== undefined && ts.isIdentifier(of) && of.text === "process";
  if (ts.isPropertyAccessExpression(node))
    return node.name.text === "env" && /\bprocess$/.test(node.expression.getText());
  if (ts.isElementAccessExpression(node)) return isProcess(node.expression);
  if (ts.isVariableDeclaration(node)) return isProcess(node.initializer);
  return /^(node:)?process$/.test(importedModule(node) ?? "");
}

/** Top-level parts of src, each of which may import only those before it. A new part needs a place here. */
const ORDER = [
  "usage",
  "errors",
  "redact",
  "printable",
  "postgres",
  "mongo",
  "log",
  "repeated",
  "setting",
  "config",
  "in-parallel",
  "recently",
  "resources",
  "lifecycle",
  "reconciler",
  "indexes",
  "manifests",
  "db",
  "rebuild",
  "audit",
  "metrics",
  "task",
  "jobs",
  "queues",
  "schedule",
  "http",
  "index-keeper",
  "services",
  "execution",
  "app",
  "cli",
];

/** "src/db/redis/rights.ts" -> "db", "src/config.ts" -> "config" */
function partOf(path: string): string {
  const [root = "", first = ""] = path.split("/");
  return root === "src" ? first.replace(/\.ts$/, "") : root;
}

function inPart(part: string): Source[] {
  const found = SOURCES.filter(({ path }) => partOf(path) === part);
  if (found.length === 0) throw new Error(`there is no part ${part}`);
  return found;
}
const importers = (name: string) => SOURCES.filter(({ packages }) => packages.includes(name)).map(({ path }) => path);

test("the sources are found, and every import of a file leads to one", () => {
  expect(SOURCES.length).toBeGreaterThan(50);
  const paths = new Set(SOURCES.map(({ path }) => path));
  const broken = SOURCES.flatMap(({ path, files }) =>
    files.filter((file) => !paths.has(file)).map((file) => `${path} imports ${file}`),
  );
  expect(broken).toEqual([]);
});

describe("dependencies", () => {
  test("every part of src has its place", () => {
    expect([...new Set(SOURCES.map(({ path }) => partOf(path)))].filter((part) => !ORDER.includes(part))).toEqual([]);
  });

  test("point one way: no part imports a later one", () => {
    const backward = SOURCES.flatMap(({ path, files }) =>
      files
        .filter((file) => ORDER.indexOf(partOf(file)) > ORDER.indexOf(partOf(path)))
        .map((file) => `${path} imports ${file}`),
    );
    expect(backward).toEqual([]);
  });

  test("have no cycle, in the tools and tests neither", () => {
    const cycles: string[] = [];
    const byPath = new Map(ALL.map((source) => [source.path, source]));
    const done = new Set<string>();
    const walk = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      if (done.has(path) || trail.includes(path)) return;
      for (const file of byPath.get(path)?.files ?? []) walk(file, [...trail, path]);
      done.add(path);
    };
    for (const { path } of ALL) walk(path, []);
    expect(cycles).toEqual([]);
  });

  test("the domain imports nothing but itself, a hash and a calendar", () => {
    for (const { path, files, packages } of inPart("usage")) {
      expect(
        files.filter((file) => partOf(file) !== "usage"),
        path,
      ).toEqual([]);
      expect(
        packages.filter((name) => !["node:crypto", "temporal-polyfill"].includes(name)),
        path,
      ).toEqual([]);
    }
  });

  test("the databases know nothing of commands, the application or queues, nor of the settings", () => {
    for (const { path, files } of inPart("db")) {
      expect(
        files.filter((file) => !["db", "usage", "errors", "redact", "log", "postgres", "mongo"].includes(partOf(file))),
        path,
      ).toEqual([]);
    }
  });

  test("a job, and what executes it, import no driver and no queue", () => {
    for (const { path, packages } of [...inPart("jobs"), ...inPart("task")]) {
      expect(
        packages.filter((name) => name !== "zod"),
        path,
      ).toEqual([]);
    }
  });

  test("only src/queues knows the queue library", () => {
    const users = importers("bullmq");
    expect(users).not.toEqual([]);
    expect(users.filter((path) => partOf(path) !== "queues")).toEqual([]);
  });

  test("only src/config.ts reads the environment", () => {
    expect(SOURCES.filter(({ readsEnvironment }) => readsEnvironment).map(({ path }) => path)).toEqual([
      "src/config.ts",
    ]);
  });
});

describe("the index keeper", () => {
  const DOOR = "src/indexes/index.ts";
  /** Its parts, each of which may import only those before it. */
  const PARTS = [
    "manifest",
    "format",
    "decision",
    "ledger",
    "contract",
    "engines",
    "required",
    "discover",
    "verify",
    "check",
    "rollback",
    "ensure",
    "stats",
    "maintain",
    "index",
  ];
  const partWithin = (path: string) => path.replace("src/indexes/", "").replace(/[/.].*$/, "");
  const own = inPart("indexes");

  test("is entered through its door", () => {
    const past = SOURCES.filter(({ path }) => partOf(path) !== "indexes").flatMap(({ path, files }) =>
      files.filter((file) => partOf(file) === "indexes" && file !== DOOR).map((file) => `${path} imports ${file}`),
    );
    expect(past).toEqual([]);
  });

  test("imports nothing of Tallyman but its errors, and what it has in common with the readers of a server", () => {
    const others = own.flatMap(({ path, files }) =>
      files
        .filter((file) => !["indexes", "errors", "postgres", "mongo"].includes(partOf(file)))
        .map((file) => `${path} imports ${file}`),
    );
    expect(others).toEqual([]);
  });

  test("has an order within: no part imports a later one", () => {
    expect([...new Set(own.map(({ path }) => partWithin(path)))].filter((part) => !PARTS.includes(part))).toEqual([]);
    const backward = own.flatMap(({ path, files }) =>
      files
        .filter((file) => partOf(file) === "indexes")
        .filter((file) => PARTS.indexOf(partWithin(file)) > PARTS.indexOf(partWithin(path)))
        .map((file) => `${path} imports ${file}`),
    );
    expect(backward).toEqual([]);
  });

  test("has engines that know nothing of each other", () => {
    const engineOf = (path: string) => /^src\/indexes\/engines\/(\w+)\//.exec(path)?.[1];
    const across = own.flatMap(({ path, files }) =>
      files
        .filter((file) => engineOf(path) !== undefined && engineOf(file) !== undefined)
        .filter((file) => engineOf(file) !== engineOf(path))
        .map((file) => `${path} imports ${file}`),
    );
    expect(across).toEqual([]);
  });

  test("loads neither a driver nor a verb before one is called", () => {
    const byPath = new Map(SOURCES.map((source) => [source.path, source]));
    const loaded = new Set<string>();
    const load = (path: string): void => {
      if (loaded.has(path)) return;
      loaded.add(path);
      for (const next of byPath.get(path)?.loads ?? []) load(next);
    };
    load(DOOR);
    expect([...loaded].sort()).toEqual([
      "src/indexes/decision/reported.ts",
      "src/indexes/engines/facts.ts",
      "src/indexes/engines/mongo/facts.ts",
      "src/indexes/engines/postgres/facts.ts",
      "src/indexes/ensure/outcome.ts",
      "src/indexes/format.ts",
      DOOR,
      "src/indexes/manifest/reserved.ts",
      "src/indexes/manifest/selection.ts",
      "src/indexes/stats/judge.ts",
    ]);
  });
});

describe("files", () => {
  test("are short", () => {
    expect(SOURCES.filter(({ lines }) => lines > 300).map(({ path, lines }) => `${path}: ${lines}`)).toEqual([]);
  });

  test("are named by what they do", () => {
    const vague = /(^|[/.-])(utils?|helpers?|common|types?|models?|misc|shared)([/.-]|$)/;
    expect(SOURCES.map(({ path }) => path).filter((path) => vague.test(path))).toEqual([]);
  });
});

describe("jobs", () => {
  const folder = join(ROOT, "src/jobs");
  const names = readdirSync(folder).filter((name) => name !== "index.ts");
  const camelCase = (name: string) => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

  test("the folder is the list of what the system does", () => {
    expect(names.every((name) => /^[a-z]+(-[a-z]+)*\.ts$/.test(name))).toBe(true);
    expect(JOBS.map((job) => `${job.name}.ts`).sort()).toEqual(names.sort());
  });

  test.each(names)("%s exports the job of its name, which is in the list", async (file) => {
    const name = file.replace(/\.ts$/, "");
    const path = relative(dirname(fileURLToPath(import.meta.url)), join(folder, file));
    const module = (await import(/* @vite-ignore */ path)) as Record<string, unknown>;
    expect(Object.keys(module)).toEqual([camelCase(name)]);
    expect(module[camelCase(name)]).toMatchObject({ name });
    expect(JOBS).toContain(module[camelCase(name)]);
  });
});
