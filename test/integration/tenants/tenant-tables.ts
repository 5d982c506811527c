import type { TenantSpan } from "../../../src/usage/tenant-day.ts";
import { randomUUID } from "node:crypto";
import { inTransaction, type Pool } from "../../../src/db/postgres/pool.ts";
import { endRun } from "../../../src/db/postgres/runs/end.ts";
import { forgetComputed, widenTenantSpans } from "../../../src/db/postgres/tenants.ts";
import { countDays } from "../../../src/usage/day.ts";
import { addDays } from "../../support/civil-day.ts";

/** Days by their number: 1 is 2026-03-01. */
export const day = (number: number) => addDays("2026-02-28", number);
export const numberOf = (date: string | null) => (date === null ? null : countDays("2026-03-01", date));

export type State = "open" | "settling" | "final";

/** The numbers of some days in a row, each with a state. */
export const rows = (from: number, to: number, state: State = "final") =>
  new Map(Array.from({ length: to - from + 1 }, (_, index) => [from + index, state]));

export const span = (tenant: string, from: number, to: number): TenantSpan => ({
  tenant,
  from: day(from),
  to: day(to),
});

/** What moves tenants' computed ranges, on an empty database; rows are stored as any run might have left them. */
export class TenantTables {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async store(tenant: string, states: ReadonlyMap<number, State>): Promise<void> {
    await this.#pool.query(
      `INSERT INTO daily_usage_cache
       SELECT $1, u.date, '{}', '{}', '{}', '{}', 0, 0, 0, 0, 0, 0, 0, sha256(''), u.state, 1, now(), now()
         FROM unnest($2::date[], $3::text[]) AS u (date, state)
       ON CONFLICT (tenant_id, date) DO UPDATE SET state = EXCLUDED.state`,
      [tenant, [...states.keys()].map(day), [...states.values()]],
    );
  }

  /** Ends a run over these spans, one chunk each; its rows must exist already. */
  async end(spans: readonly TenantSpan[], overAll = false): Promise<void> {
    const id = randomUUID();
    await this.#pool.query(
      `INSERT INTO usage_run (id, kind, requested_by, dedupe_key, settings_hash, tenants, from_date, to_date, state, started_at)
       VALUES ($1::uuid, 'backfill', 'test', $1::text, '', $2::text[], '2026-03-01', '2026-03-31', 'done', now())`,
      [id, overAll ? null : [...new Set(spans.map(({ tenant }) => tenant))]],
    );
    for (const [number, one] of spans.entries()) {
      await this.#pool.query(
        "INSERT INTO usage_chunk (run_id, number, payload, planned, state) VALUES ($1, $2, $3, 1, 'done')",
        [id, number, JSON.stringify([one])],
      );
    }
    const run = { id, kind: "backfill", to: "2026-03-31", state: "done", wasPlanned: true } as const;
    await inTransaction(this.#pool, (connection) => endRun(connection, run));
  }

  async widen(tenant: string, first: number, last: number, searched?: number): Promise<void> {
    const searchedThrough = searched === undefined ? undefined : day(searched);
    await widenTenantSpans(this.#pool, [{ tenant, from: day(first), to: day(last), searchedThrough }]);
  }

  /** As an undo does. */
  async remove(tenant: string, numbers: readonly number[]): Promise<void> {
    await inTransaction(this.#pool, async (connection) => {
      await connection.query("DELETE FROM daily_usage_cache WHERE tenant_id = $1 AND date = ANY ($2::date[])", [
        tenant,
        numbers.map(day),
      ]);
      await forgetComputed(
        connection,
        numbers.map((number) => ({ tenant, date: day(number) })),
      );
    });
  }

  /** The numbers of the first and the last computed day. */
  async range(tenant = "a"): Promise<(number | null)[]> {
    const { rows: found } = await this.#pool.query<{ lo: string | null; hi: string | null }>(
      "SELECT computed_from AS lo, computed_through AS hi FROM usage_tenant WHERE tenant_id = $1",
      [tenant],
    );
    return [numberOf(found[0]?.lo ?? null), numberOf(found[0]?.hi ?? null)];
  }
}
