/** Warns of declarations that every server accepts and that probably make an index slow or useless. */
import { WHY_UNKNOWN } from "./reserved.ts";
import type { Contract, Manifest, MongoIndex, PostgresIndex } from "./manifest.ts";

/** One line each; a manifest with warnings is valid. */
export function manifestWarnings(manifest: Manifest): string[] {
  const mongo = Object.entries(manifest.mongo ?? {}).flatMap(([collection, indexes]) =>
    indexes.flatMap((index) => mongoWarnings(index).map((line) => `mongo.${collection}.${index.name}: ${line}`)),
  );
  const postgres = Object.entries(manifest.postgres ?? {}).flatMap(([table, indexes]) =>
    indexes.flatMap((index) => postgresWarnings(index).map((line) => `postgres.${table}.${index.name}: ${line}`)),
  );
  return [...mongo, ...postgres];
}

function mongoWarnings(index: MongoIndex): string[] {
  const fields = index.keys.filter(([, kind]) => kind !== "text").map(([field]) => field);
  const constant = Object.entries(index.partial ?? {})
    .filter(([, condition]) => use(condition) === "equal")
    .map(([field]) => field);
  const warnings = common(index, fields, constant, (contract) => {
    const filter = contract.find?.filter ?? contract.count ?? matchOf(contract.aggregate) ?? {};
    const uses = new Map(Object.entries(filter).map(([field, condition]) => [field, use(condition)] as const));
    return uses;
  });
  if (hasDate(index.partial)) {
    warnings.push("the date in its partial filter is fixed, so the index grows with time: declare the index rolling");
  }
  return warnings;
}

function postgresWarnings(index: PostgresIndex): string[] {
  const fields = index.columns.flatMap((column) => {
    const name = typeof column === "string" ? column : column.col;
    return name === undefined ? [] : [name];
  });
  const constant = fields.filter((field) =>
    new RegExp(`(^|\\bAND\\b)\\s*\\(?\\s*${quotable(field)}\\s*=\\s*('[^']*'|-?\\d+|true|false)`, "i").test(
      index.where ?? "",
    ),
  );
  return common(index, fields, constant, ({ sql = "" }) => {
    const uses = fields.flatMap((field): [string, Use][] => {
      if (new RegExp(`${quotable(field)}\\s*(=\\s*(\\$|'|\\d|ANY)|IN\\b)`, "i").test(sql)) return [[field, "equal"]];
      if (new RegExp(`${quotable(field)}\\s*(<|>|BETWEEN\\b)`, "i").test(sql)) return [[field, "range"]];
      return [];
    });
    return new Map(uses);
  });
}

type Use = "equal" | "range";

function common(
  { why, contracts = [], checked, columns, keys }: Partial<PostgresIndex> & Partial<MongoIndex>,
  fields: readonly string[],
  constant: readonly string[],
  usesOf: (contract: Contract) => ReadonlyMap<string, Use>,
): string[] {
  const warnings: string[] = [];
  if (why === WHY_UNKNOWN) warnings.push("why is still to be written: name the query or the job that needs the index");
  const width = (columns ?? keys ?? []).length;
  if (width > 5)
    warnings.push(`${width} columns: each further column slows every write, and few queries use the last ones`);
  const serving = contracts.filter(({ mode }) => mode !== "cannot");
  if (serving.length === 0 && checked !== true) warnings.push("it has no contract: nothing says which query needs it");
  for (const field of constant.filter((name) => fields.includes(name))) {
    warnings.push(`${field} is a key but has a single value under the predicate: take it out of the keys`);
  }
  const late = new Set<string>();
  for (const contract of serving) {
    const uses = usesOf(contract);
    const firstRange = fields.findIndex((field) => uses.get(field) === "range");
    if (firstRange === -1) continue;
    for (const field of fields.slice(firstRange + 1)) {
      if (uses.get(field) === "equal") late.add(`${field} after ${fields[firstRange]}`);
    }
  }
  for (const pair of late) {
    warnings.push(`${pair}: keys after a range no longer narrow the search; put equality, then sort, then range`);
  }
  return warnings;
}

/** How a condition of a filter uses an index. */
function use(condition: unknown): Use {
  if (typeof condition !== "object" || condition === null || Object.getPrototypeOf(condition) !== Object.prototype) {
    return "equal";
  }
  return Object.keys(condition).every((key) => key === "$eq" || key === "$in") ? "equal" : "range";
}

function matchOf(pipeline: Contract["aggregate"]): Readonly<Record<string, unknown>> | undefined {
  return pipeline?.[0]?.["$match"] as Readonly<Record<string, unknown>> | undefined;
}

function hasDate(value: unknown): boolean {
  if (value instanceof Date) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(hasDate);
}

/** A pattern for a column in SQL, quoted or not. */
function quotable(column: string): string {
  const name = column.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return `(?<![\\w"])"?${name}"?(?!\\w)`;
}
