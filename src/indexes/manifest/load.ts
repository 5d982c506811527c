/** Reads manifests from files, and writes a manifest as text. */
import { readFile } from "node:fs/promises";
import { Document, isMap, isNode, isScalar, LineCounter, parseDocument, Scalar, visit } from "yaml";
import type { z } from "zod";
import { UsageError } from "../../errors.ts";
import { fromExtendedJson, toExtendedJson } from "./extended-json.ts";
import type { Fault as ManifestFault } from "./fault.ts";
import type { Manifest } from "./manifest.ts";
import { manifestSchema } from "./schema.ts";

/** A fault and its offset in the text. */
interface Fault {
  readonly at: number;
  readonly message: string;
}

/**
 * Reads a `.yaml`, `.yml` or `.json` file.
 *
 * @param faultsOf looked for where the form is right
 * @throws UsageError with file:line:column of every fault, for a file that is no manifest or a bad one
 */
export async function loadManifest(
  file: string,
  faultsOf: (manifest: Manifest) => readonly ManifestFault[],
): Promise<Manifest> {
  if (!/\.(ya?ml|json)$/.test(file)) {
    throw new UsageError(`"${file}" is neither a manifest of Tallyman's own nor a .yaml, .yml or .json file`);
  }
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
  });
  return parseManifest(text, file, faultsOf);
}

/** The manifest in a file's text. Without `faultsOf` only its form is checked. */
export function parseManifest(
  text: string,
  file: string,
  faultsOf: (manifest: Manifest) => readonly ManifestFault[] = () => [],
): Manifest {
  const lineCounter = new LineCounter();
  const schema = file.endsWith(".json") ? "json" : "core";
  const document = parseDocument(text, { lineCounter, schema, prettyErrors: false, stringKeys: true });
  const read: { value?: Manifest; faults: Fault[] } = { faults: syntaxFaults(document, text, schema) };
  // With a duplicate key the rest can still be checked; after any other syntax error it is guesswork.
  const isGuesswork = document.errors.some(({ code }) => code !== "DUPLICATE_KEY");
  if (!isGuesswork) {
    const { value, faults } = content(document);
    read.faults.push(...faults);
    if (value !== undefined && read.faults.length === 0) {
      read.faults.push(
        ...faultsOf(value).map(({ path, place, message }) => ({
          at: placeOf(document, path),
          message: `${place}: ${message}`,
        })),
      );
      if (read.faults.length === 0) return value;
    }
  }
  const lines = read.faults
    .sort((a, b) => a.at - b.at)
    .map(({ at, message }) => {
      const { line, col } = lineCounter.linePos(at);
      return `${file}:${line || 1}:${col || 1}: ${message}`;
    });
  throw new UsageError([...new Set(lines)]);
}

/** YAML or JSON from which `parseManifest` reads an equal manifest. */
export function manifestText(manifest: Manifest, format: "yaml" | "json" = "yaml"): string {
  const plain = toExtendedJson(manifest);
  if (format === "json") return `${JSON.stringify(plain, null, 2)}\n`;
  const document = new Document(plain);
  visit(document, {
    // So that a terminal may show these characters as escapes, which YAML reads in double quotes only.
    Scalar(_key, scalar) {
      if (typeof scalar.value === "string" && UNPRINTABLE.test(scalar.value)) scalar.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({ lineWidth: 120 });
}

/** Controls and invisible characters, but for the line break. */
const UNPRINTABLE = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/u;

function syntaxFaults(document: Document.Parsed, text: string, schema: "json" | "core"): Fault[] {
  const faults = [...document.errors, ...document.warnings].map(({ pos, message }) => ({ at: pos[0], message }));
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document)) return;
      faults.push({ at: alias.range?.[0] ?? 0, message: `there is no anchor "${alias.source}" before it` });
    },
    // A JavaScript object moves integer-like keys to the front, which would change the order of a sort.
    Map(_key, map, ancestors) {
      const owner = ancestors.at(-1);
      const name = owner && "key" in owner && isScalar(owner.key) ? owner.key.value : undefined;
      if ((name !== "sort" && name !== "$sort") || map.items.length < 2) return;
      for (const { key } of map.items) {
        if (isScalar(key) && /^\d+$/.test(String(key.value))) {
          faults.push({
            at: key.range?.[0] ?? 0,
            message: `the field "${String(key.value)}" would not keep its place in a sort of several fields`,
          });
        }
      }
    },
  });
  if (schema === "json" && faults.length === 0) faults.push(...jsonFaults(text));
  return faults;
}

/** The YAML parser accepts more than JSON, so a .json file is parsed as JSON too. */
function jsonFaults(text: string): Fault[] {
  try {
    JSON.parse(text);
    return [];
  } catch (error) {
    const { message } = error as Error;
    return [{ at: Number(/position (\d+)/.exec(message)?.[1] ?? 0), message }];
  }
}

function content(document: Document.Parsed): { value?: Manifest; faults: Fault[] } {
  const faults: Fault[] = [];
  const refuse = (path: readonly PropertyKey[], message: string) => {
    faults.push({ at: placeOf(document, path), message: path.length > 0 ? `${path.join(".")}: ${message}` : message });
  };
  let plain: unknown;
  try {
    plain = fromExtendedJson(document.toJS(), refuse);
  } catch (error) {
    // For example endless aliases. An alias without an anchor is reported by syntaxFaults with its place.
    const { message } = error as Error;
    if (!message.startsWith("Unresolved alias")) refuse([], message);
    return { faults };
  }
  const parsed = manifestSchema.safeParse(plain);
  if (parsed.success) return { value: parsed.data, faults };
  for (const issue of parsed.error.issues) {
    for (const { path, message } of explain(issue)) refuse(path, message);
  }
  return { faults };
}

/** Advice for keys that people know from MongoDB's or PostgreSQL's own syntax. */
const INSTEAD: Readonly<Record<string, string>> = {
  background: "servers since 4.2 ignore it, leave it out",
  concurrently: "every build is concurrent, leave it out",
  key: 'write "keys", as a list of pairs',
  fields: 'write "keys", as a list of pairs',
  partialFilterExpression: 'write "partial"',
  default_language: 'write "defaultLanguage"',
};

/** One message an issue: for unknown keys one each, for a union those of the branch that was meant. */
function explain(issue: z.core.$ZodIssue): { path: readonly PropertyKey[]; message: string }[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      message: Object.hasOwn(INSTEAD, key) ? `there is no such key: ${INSTEAD[key]}` : "there is no such key",
    }));
  }
  if (issue.code === "invalid_union") {
    const isOther = (branch: readonly z.core.$ZodIssue[]) =>
      branch.some(({ path, code }) => path.length === 0 && code === "invalid_type");
    const meant = issue.errors.filter((branch) => !isOther(branch)).sort((a, b) => a.length - b.length)[0];
    const isLeaf = meant === undefined || meant.some(({ path, code }) => path.length === 0 && code === "invalid_value");
    if (!isLeaf) {
      return meant.flatMap((inner) => explain({ ...inner, path: [...issue.path, ...inner.path] }));
    }
  }
  return [{ path: issue.path, message: issue.message }];
}

/** The offset of the key at the end of the path, or of the nearest node above it that exists. */
function placeOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent: unknown = document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && key.value === last);
      if (pair && isNode(pair.key)) return pair.key.range?.[0] ?? 0;
    }
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node)) return node.range?.[0] ?? 0;
  }
  return document.contents?.range[0] ?? 0;
}
