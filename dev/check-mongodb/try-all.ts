import { randomBytes } from "node:crypto";
import { MongoServerError, type Db } from "mongodb";
import { ASSUMPTIONS } from "./assumptions.ts";
import { differs, HOLDS, verdictOf, type Assumption, type Known, type Verdict } from "./assumption.ts";

/** What a server did with one row. */
export interface Result {
  readonly row: Assumption;
  readonly verdict: Verdict | "not tried";
  /** what was seen, or why the row is not tried */
  readonly observed: string;
  /** neither holds nor is known of this server */
  readonly isNews: boolean;
}

export interface Server {
  readonly isFerret: boolean;
  /** for example `MongoDB 8.0.4`, `FerretDB v2.7.0` */
  readonly product: string;
  /** major and minor */
  readonly version: readonly [number, number];
}

export async function serverOf(db: Db): Promise<Server> {
  const build = await db.command({ buildInfo: 1 });
  const ferret = build["ferretdb"] as { version?: string } | undefined;
  const product = ferret ? `FerretDB ${ferret.version ?? ""}`.trim() : `MongoDB ${String(build["version"])}`;
  const [major = 0, minor = 0] = (build["versionArray"] ?? []) as number[];
  return { isFerret: ferret !== undefined, product, version: [major, minor] };
}

/**
 * Tries every row in this database, one after the other. A server that refuses a check's command differs.
 *
 * @param db of these checks alone: they create collections in it
 * @throws what is no answer of the server, such as the loss of the connection
 */
export async function tryAll(
  db: Db,
  server: Server,
  onRow: (row: Assumption) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const row of ASSUMPTIONS) {
    signal?.throwIfAborted();
    onRow(row);
    results.push(await tryRow(db, row, server));
  }
  return results;
}

/** Tries one row. Its collections stay behind. */
export async function tryRow(db: Db, row: Assumption, server: Server): Promise<Result> {
  if (!("check" in row)) return { row, verdict: "not tried", observed: row.untried, isNews: false };
  const fresh = () => db.collection(`${row.id}_${randomBytes(4).toString("hex")}`);
  let outcome;
  try {
    outcome = await row.check({ db, fresh });
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    outcome = { observed: `${error.code}: ${error.message}`, holds: false };
  }
  const verdict = verdictOf(outcome);
  return { row, verdict, observed: outcome.observed, isNews: isNews(verdict, knownOf(row, server), server.isFerret) };
}

/** What a row is known to do on this server. */
export function knownOf(row: Assumption, { isFerret, version }: Pick<Server, "isFerret" | "version">): Known {
  if (isFerret) return "ferret" in row ? row.ferret : HOLDS;
  const { since = [0, 0] } = row;
  const isOlder = version[0] < since[0] || (version[0] === since[0] && version[1] < since[1]);
  return isOlder ? differs(`it is so since ${since.join(".")}`) : HOLDS;
}

/** On a MongoDB a row that cannot be told is no news: its version or its topology may lack what it asks for. */
export function isNews(verdict: Verdict, known: Known, isFerret: boolean): boolean {
  return isFerret ? verdict !== known.verdict : verdict === "differs" && known.verdict !== "differs";
}
