/** What Tallyman takes for granted of MongoDB, one row each, and how a row is tried on a server. */
import { BSON, Decimal128, MongoServerError, type Collection, type Db, type Document } from "mongodb";
import { readDecimal128 } from "../../src/db/mongo/ids.ts";
import { scaled } from "../../src/usage/decimal.ts";

/** Where a row is tried: a database that is this check's own, and dropped after it. */
export interface Scratch {
  readonly db: Db;
  /** A collection that no other row uses. It does not exist before its first document or index. */
  readonly fresh: () => Collection;
}

/** What a server did. `holds` is undefined where this server cannot show it. */
export interface Outcome {
  readonly observed: string;
  readonly holds: boolean | undefined;
}

/** What FerretDB 2.7 is known to do with a row, and why it does something else. */
export interface Known {
  readonly verdict: Verdict;
  readonly note?: string;
}

export type Verdict = "holds" | "differs" | "cannot tell";

/** One assumption. A row is tried on a server, or says why no server of one member can show it. */
export type Assumption = Said & (Tried | Untried);

interface Said {
  /** for a person and for scripts: stable, lower case, with dashes */
  readonly id: string;
  readonly says: string;
  /** the part of Tallyman that goes wrong without it */
  readonly why: string;
  /** files of MongoDB's own repository, pages of its manual, and the version since which it is so */
  readonly source: string;
  /** test files of this repository that fail if Tallyman no longer works that way */
  readonly heldBy: readonly string[];
  /** major and minor version; an older MongoDB is known to differ */
  readonly since?: readonly [number, number];
}

interface Tried {
  readonly check: (scratch: Scratch) => Promise<Outcome>;
  readonly ferret: Known;
}

interface Untried {
  /** why no check tries it */
  readonly untried: string;
}

export const HOLDS: Known = { verdict: "holds" };
export const differs = (note: string): Known => ({ verdict: "differs", note });
export const cannotTell = (note: string): Known => ({ verdict: "cannot tell", note });

/** The verdict of an outcome. */
export function verdictOf({ holds }: Outcome): Verdict {
  return holds === undefined ? "cannot tell" : holds ? "holds" : "differs";
}

const SHOWN = 160;

/** A value as extended JSON with its BSON types, cut to one line of a table. */
export function show(value: unknown): string {
  const text = value === undefined ? "nothing" : BSON.EJSON.stringify(value, { relaxed: false });
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
}

/** Holds if the value has exactly this content and these types. */
export function equals(observed: unknown, wanted: unknown): Outcome {
  const whole = (value: unknown) => (value === undefined ? "" : BSON.EJSON.stringify(value, { relaxed: false }));
  return { observed: show(observed), holds: whole(observed) === whole(wanted) };
}

/** Holds if nothing is in the list; shows it otherwise. */
export function none(wrong: readonly string[], otherwise: string): Outcome {
  return wrong.length === 0 ? { observed: otherwise, holds: true } : { observed: wrong.join("; "), holds: false };
}

/** The number of a Decimal128 in units of 10^-18; undefined for another type. Trailing zeros do not count. */
export function units(value: unknown): bigint | undefined {
  if (!(value instanceof Decimal128)) return undefined;
  const { coefficient, exponent, negative } = readDecimal128(value);
  return (negative ? -1n : 1n) * scaled(coefficient, exponent);
}

/** Holds if the value is a decimal equal to this one, whatever its trailing zeros. */
export function equalsDecimal(observed: unknown, wanted: string): Outcome {
  return { observed: show(observed), holds: units(observed) === units(Decimal128.fromString(wanted)) };
}

/** The value of an aggregation expression over one document, with its BSON type. */
export async function evaluate({ fresh }: Scratch, document: Document, expression: Document): Promise<unknown> {
  const collection = fresh();
  await collection.insertOne(document, { ignoreUndefined: false });
  const [found] = await collection
    .aggregate<{ v?: unknown }>([{ $project: { _id: 0, v: expression } }], { promoteValues: false })
    .toArray();
  return found?.v;
}

/** The value of one accumulator over these values of `v`, with its BSON type. A `{}` stands for a missing field. */
export async function accumulate(
  { fresh }: Scratch,
  documents: readonly Document[],
  accumulator: Document,
): Promise<unknown> {
  const collection = fresh();
  await collection.insertMany(documents.map((document) => ({ ...document })));
  const [found] = await collection
    .aggregate<{ v: unknown }>([{ $group: { _id: null, v: accumulator } }], { promoteValues: false })
    .toArray();
  return found?.v;
}

/** The code and the message of a server's refusal; undefined if the work succeeds. Other errors pass. */
export async function refusal(work: Promise<unknown>): Promise<{ code: number; message: string } | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    return { code: Number(error.code), message: error.message };
  }
}

/** Holds if the server refuses the work with one of these codes. */
export async function refusedWith(codes: readonly number[], work: Promise<unknown>): Promise<Outcome> {
  const refused = await refusal(work);
  if (!refused) return { observed: "accepted", holds: false };
  return { observed: `${refused.code}: ${refused.message.slice(0, SHOWN)}`, holds: codes.includes(refused.code) };
}

/** Every stage below a plan, as the server names its parts. */
export function partsOf(value: unknown): Document[] {
  if (typeof value !== "object" || value === null) return [];
  const below = Object.entries(value as Document)
    .filter(([name]) => name !== "rejectedPlans" && name !== "command")
    .flatMap(([, inner]) => partsOf(inner));
  return Array.isArray(value) ? below : [value, ...below];
}

/** Names of the stages of a plan in MongoDB's form, each once; none where the server explains in another form. */
export function stagesOf(explained: unknown): string[] {
  return [
    ...new Set(
      partsOf(explained).flatMap(({ stage }) => (typeof stage === "string" && /^[A-Z]/.test(stage) ? [stage] : [])),
    ),
  ];
}
