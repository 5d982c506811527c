import type { Judgement } from "../../../contract/verdict.ts";
import type { Contract } from "../../../manifest/manifest.ts";
import type { ServingNames, Verifier } from "../../verifier.ts";
import { tableOf } from "../ddl.ts";
import { verifyOnPostgres } from "./contract.ts";
import { PostgresReader } from "./reader.ts";

/** Verifies contracts on PostgreSQL, on a connection of its own that changes nothing. */
export class PostgresVerifier implements Verifier {
  readonly #databaseUrl: string;
  readonly #limitMs: number;
  #reader: PostgresReader | undefined;

  constructor(databaseUrl: string, limitMs: number) {
    this.#databaseUrl = databaseUrl;
    this.#limitMs = limitMs;
  }

  async indexNames(target: string): Promise<readonly string[]> {
    const { schema, table } = tableOf(target);
    return (await this.#open()).indexNames(schema, table);
  }

  async verify(target: string, contract: Contract, names: ServingNames): Promise<Judgement> {
    const { schema, table } = tableOf(target);
    return verifyOnPostgres({ reader: await this.#open(), schema, table, contract, ...names, limitMs: this.#limitMs });
  }

  async close(): Promise<void> {
    await this.#reader?.close();
  }

  async #open(): Promise<PostgresReader> {
    this.#reader ??= await PostgresReader.open(this.#databaseUrl, this.#limitMs);
    return this.#reader;
  }
}
