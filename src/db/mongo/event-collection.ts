import type { Collection } from "mongodb";
import { WorkFailedError } from "../../errors.ts";
import { serverCode } from "../../mongo/errors.ts";
import { multikeyPaths } from "../../mongo/multikey.ts";
import { isFerret } from "../../mongo/server.ts";
import type { FieldMap } from "../../usage/event.ts";
import { majorityPoint, type MajorityPoint } from "./majority.ts";

/** What every read of events says. */
export interface ReadSettings {
  /** an index by name: one with the same keys may lack events, and a key pattern of two indexes is refused */
  readonly hint: string | { readonly _id: 1 };
  /** bytes are compared, also where the collection was made with a collation of its own */
  readonly collation?: { readonly locale: "simple" };
  readonly readConcern: { readonly level: "majority" };
  /** numbers come as BSON types, since the type of a sum is part of its proof */
  readonly promoteValues: false;
  readonly comment: string;
}

/** What is known of the server and the index. */
interface Access {
  /** the name of the tenant/date index */
  readonly index: string;
  readonly collation: ReadSettings["collation"];
}

/**
 * What a server answers to a hint for an index that is not there any more, or not to be used: BadValue, IndexNotFound,
 * NoQueryExecutionPlans; QueryPlanKilled where the index went during the read.
 */
const HINT_REFUSED: ReadonlySet<number | undefined> = new Set([2, 27, 291]);
const PLAN_KILLED = 175;

/**
 * The collection of events. Every read goes through here, so that it says by which index it reads, and with which
 * collation and read concern. The read preference is the client's.
 */
export class EventCollection {
  readonly fields: FieldMap;
  readonly #collection: Collection;
  readonly #findIndex: (when?: "now") => Promise<string | undefined>;
  #isFerret: boolean | undefined;
  #looking: Promise<Access> | undefined;

  /**
   * @param findIndex finds the name of a tenant/date index that all reads can use, or says why there is none. Asked before
   *   each read, so it should keep its answer for a while, but not for long: an index that lacks events may get the name,
   *   and the server obeys the hint. Asked with "now" after a hint was refused: a replacement has another name.
   */
  constructor(collection: Collection, fields: FieldMap, findIndex: (when?: "now") => Promise<string | undefined>) {
    this.#collection = collection;
    this.fields = fields;
    this.#findIndex = findIndex;
  }

  /** The name of the collection. */
  get name(): string {
    return this.#collection.collectionName;
  }

  /**
   * Reads through the tenant/date index. `read` is called a second time, at most, where the index it was given had gone;
   * what it did the first time must not count.
   */
  async throughIndex<T>(read: (collection: Collection, settings: ReadSettings) => Promise<T>): Promise<T> {
    const access = await this.#learnt();
    try {
      return await read(this.#collection, settingsOf(access.collation, access.index));
    } catch (error) {
      const code = serverCode(error);
      if (!HINT_REFUSED.has(code) && code !== PLAN_KILLED) throw error;
      const now = await this.#learntAfter(access);
      if (now.index === access.index && code !== PLAN_KILLED) throw refused(this.name, access.index, error as Error);
      return read(this.#collection, settingsOf(now.collation, now.index));
    }
  }

  /** Reads in the order of `_id`. */
  async byId<T>(read: (collection: Collection, settings: ReadSettings) => Promise<T>): Promise<T> {
    return read(this.#collection, settingsOf(await this.#collation(), { _id: 1 }));
  }

  /** The approximate number of events, from the collection's own figures. */
  async estimatedCount(): Promise<number> {
    return this.#collection.estimatedDocumentCount({ comment: COMMENT });
  }

  /** How far majority reads see now; undefined where the server does not tell. */
  async majority(signal: AbortSignal): Promise<MajorityPoint | undefined> {
    return majorityPoint(await this.#collection.db.command({ hello: 1 }, { signal }));
  }

  /**
   * Why a read through the tenant/date index may be slow although it is there; undefined = not known. One array in an
   * indexed field makes the server read the tenant's events from one bound to the end of time, until the index is
   * rebuilt.
   */
  async slowness(signal: AbortSignal): Promise<string | undefined> {
    const { tenant_id, created_at } = this.fields;
    const filter = { [tenant_id]: "", [created_at]: { $gte: new Date(0) } };
    const explained = await this.throughIndex((collection, { hint, collation }) => {
      return collection.find(filter, { hint, ...(collation && { collation }), signal }).explain("queryPlanner");
    });
    const paths = multikeyPaths(explained);
    if (paths.length === 0) return undefined;
    const { index } = await this.#learnt();
    return (
      `an event has or had an array in ${paths.join(", ")}, so the server reads far more of the index ${index} than a day; ` +
      `mend such events, then build the index anew (docs/runbook.md, "An array in an indexed field")`
    );
  }

  async #learnt(when?: "now"): Promise<Access> {
    const [index, collation] = await Promise.all([this.#findIndex(when), this.#collation()]);
    if (index === undefined) throw new Error(`no index of ${this.name} is known to read through`);
    return { index, collation };
  }

  async #collation(): Promise<ReadSettings["collation"]> {
    this.#isFerret ??= await isFerret(this.#collection.db);
    return this.#isFerret ? undefined : { locale: "simple" }; // FerretDB refuses any collation
  }

  /** Readers whose hints were refused together look together. */
  async #learntAfter(used: Access): Promise<Access> {
    const known = await this.#learnt();
    if (known.index !== used.index) return known;
    this.#looking ??= this.#learnt("now").finally(() => (this.#looking = undefined));
    return this.#looking;
  }
}

/** The index is listed, but the server does not take it; without the right to $indexStats a build cannot be told. */
function refused(collection: string, index: string, cause: Error): Error {
  if (!/hint/i.test(cause.message)) return cause;
  return new WorkFailedError(
    `MongoDB does not read ${collection} through its index ${index}: ${cause.message}. ` +
      "Probably the index is still being built; look with: tallyman indexes check",
    { cause },
  );
}

/** Marks what Tallyman asks, in the server's log and profiler. */
const COMMENT = "tallyman";

function settingsOf(collation: ReadSettings["collation"], hint: ReadSettings["hint"]): ReadSettings {
  return {
    hint,
    ...(collation && { collation }),
    readConcern: { level: "majority" },
    promoteValues: false,
    comment: COMMENT,
  };
}
