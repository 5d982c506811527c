import type { Db } from "mongodb";
import type { Judgement } from "../../../contract/verdict.ts";
import type { Contract } from "../../../manifest/manifest.ts";
import type { ServingNames, Verifier } from "../../verifier.ts";
import { isFerret, readCollection, verifyOnMongo, type MongoCollection } from "./contract.ts";

/** Verifies contracts on MongoDB. Reads each collection once for all its contracts. */
export class MongoVerifier implements Verifier {
  readonly #db: Db;
  readonly #limitMs: number;
  readonly #collections = new Map<string, MongoCollection>();
  #isFerret: boolean | undefined;

  constructor(db: Db, limitMs: number) {
    this.#db = db;
    this.#limitMs = limitMs;
  }

  async indexNames(target: string): Promise<readonly string[]> {
    return (await this.#collection(target)).specs.map(({ name }) => String(name));
  }

  async verify(target: string, contract: Contract, names: ServingNames): Promise<Judgement> {
    return verifyOnMongo({ target: await this.#collection(target), contract, ...names });
  }

  /** Closes nothing: the connection belongs to the caller. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  async #collection(name: string): Promise<MongoCollection> {
    this.#isFerret ??= await isFerret(this.#db);
    const known = this.#collections.get(name);
    if (known) return known;
    const read = await readCollection({ db: this.#db, name, isFerret: this.#isFerret, limitMs: this.#limitMs });
    this.#collections.set(name, read);
    return read;
  }
}
