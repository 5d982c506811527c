import { setMaxListeners } from "node:events";
import type { DayRange, TenantReader } from "./mongo/tenants.ts";
import type { Pool } from "./postgres/pool.ts";
import { cachedSpans, knownTenants, widenTenantSpans, type KnownTenant } from "./postgres/tenants.ts";
import { addDays, earlierDay, laterDay, type Day } from "../usage/day.ts";
import { compareKeys } from "../usage/keys.ts";

/** Questions about one tenant each that are asked side by side. */
const ASKED_AT_ONCE = 8;

/** What the two databases together know of tenants. */
export class Tenants {
  readonly #reader: TenantReader;
  readonly #pool: Pool;
  readonly #today: () => Day;

  constructor(reader: TenantReader, pool: Pool, today: () => Day) {
    this.#reader = reader;
    this.#pool = pool;
    this.#today = today;
  }

  /** Every tenant that has events, or had some. */
  async listAll(signal: AbortSignal): Promise<string[]> {
    const known = await knownTenants(this.#pool);
    return [...new Set([...known.map(({ tenant }) => tenant), ...(await this.#reader.list(signal))])].sort(compareKeys);
  }

  /**
   * Finds and remembers the days from the first to the last on which each tenant has an event or a row. One that has
   * neither is left out: nobody knows it. The search begins at the ends of `near`, the days in question.
   */
  async learnSpans(tenants: readonly string[], near: DayRange, signal: AbortSignal): Promise<KnownTenant[]> {
    const known = byTenant(await knownTenants(this.#pool, tenants));
    const latest = addDays(this.#today(), 1); // later events are clock faults of a producer
    const found: KnownTenant[] = [];
    const queue = [...tenants];
    setMaxListeners(0, signal); // the driver adds two a question, and Node takes eleven for a leak
    const askNext = async () => {
      for (let tenant = queue.pop(); tenant !== undefined; tenant = queue.pop()) {
        const span = await this.#reader.span(tenant, { near, latest, known: known.get(tenant) }, signal);
        if (span) found.push({ tenant, ...span });
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askNext));
    if (found.length > 0) await widenTenantSpans(this.#pool, found);

    const spans = byTenant(found);
    for (const other of [...known.values(), ...(await cachedSpans(this.#pool, tenants))]) {
      const span = spans.get(other.tenant) ?? other;
      const first = earlierDay(span.first, other.first);
      spans.set(other.tenant, { tenant: other.tenant, first, last: laterDay(span.last, other.last) });
    }
    return [...spans.values()].sort((a, b) => compareKeys(a.tenant, b.tenant));
  }
}

function byTenant(tenants: readonly KnownTenant[]): Map<string, KnownTenant> {
  return new Map(tenants.map((known) => [known.tenant, known]));
}
