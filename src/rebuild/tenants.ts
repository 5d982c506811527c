import { setMaxListeners } from "node:events";
import { searchSpans } from "./search-spans.ts";
import type { TenantReader } from "../db/mongo/tenants.ts";
import { averageEvents, countedEvents, knownTenantDays } from "../db/postgres/cache/expected.ts";
import type { Pool } from "../db/postgres/pool.ts";
import { cachedSpans, knownTenants, widenTenantSpans } from "../db/postgres/tenants.ts";
import { addDays, earlierDay, laterDay, type Day } from "../usage/day.ts";
import { compareKeys } from "../usage/keys.ts";
import type { DayRange, TenantSpan } from "../usage/tenant-day.ts";
import { countTenantDays, type ExpectedEvents } from "../usage/plan.ts";

/** Up to so many tenant-days a plan looks up each row's count; beyond, it uses an average for each tenant. */
const LOOKED_UP_DAYS = 200_000;

/** Finds tenants and their days in both databases. */
export class Tenants {
  readonly #reader: TenantReader;
  readonly #pool: Pool;
  readonly #today: () => Day;

  constructor(reader: TenantReader, pool: Pool, today: () => Day) {
    this.#reader = reader;
    this.#pool = pool;
    this.#today = today;
  }

  /** Every tenant that has or had events. */
  async listAll(signal: AbortSignal): Promise<string[]> {
    const known = await knownTenants(this.#pool);
    return [...new Set([...known.map(({ tenant }) => tenant), ...(await this.#reader.list(signal))])].sort(compareKeys);
  }

  /**
   * Finds the first and the last day on which each tenant has an event or a row; a tenant with neither is left out. The
   * first day of a known tenant is searched only if `near`, the days in question, begins before it.
   */
  async findSpans(tenants: readonly string[], near: DayRange, signal: AbortSignal): Promise<TenantSpan[]> {
    return (await this.#search(tenants, near, signal)).spans;
  }

  /** As findSpans(), and stores where the events begin and end, and how far the search went. */
  async learnSpans(tenants: readonly string[], near: DayRange, signal: AbortSignal): Promise<TenantSpan[]> {
    const { spans, found, searchedThrough } = await this.#search(tenants, near, signal);
    if (found.length > 0) {
      await widenTenantSpans(
        this.#pool,
        found.map((span) => ({ ...span, searchedThrough })),
      );
    }
    return spans;
  }

  /**
   * The expected number of events, by tenant: the counts of its rows; for a day without a row the tenant's average; for
   * a tenant without rows the events of the collection, spread over all days of all tenants.
   */
  async expectedEvents(spans: readonly TenantSpan[]): Promise<(tenant: string) => ExpectedEvents> {
    const days = new Map<string, Map<Day, number>>();
    if (countTenantDays(spans) <= LOOKED_UP_DAYS) {
      for (const { tenant, date, events } of await countedEvents(this.#pool, spans)) {
        const own = days.get(tenant);
        if (own) own.set(date, events);
        else days.set(tenant, new Map([[date, events]]));
      }
    }
    const names = [...new Set(spans.map(({ tenant }) => tenant))];
    const averages = new Map(
      (await averageEvents(this.#pool, names)).map(({ tenant, events }) => [tenant, events] as const),
    );
    const spread = names.some((tenant) => !averages.has(tenant)) ? await this.#spreadEvents(spans) : 0;
    return (tenant) => {
      const own = days.get(tenant);
      return { average: averages.get(tenant) ?? spread, ...(own ? { days: own } : {}) };
    };
  }

  async #spreadEvents(spans: readonly TenantSpan[]): Promise<number> {
    const [events, known] = await Promise.all([this.#reader.estimatedEvents(), knownTenantDays(this.#pool)]);
    return events / Math.max(known, countTenantDays(spans), 1);
  }

  async #search(tenants: readonly string[], near: DayRange, signal: AbortSignal) {
    const today = this.#today(); // taken before the search, so that earlier days had ended when they were searched
    const latest = addDays(today, 1); // later events are clock faults of a producer
    const known = byTenant(await knownTenants(this.#pool, tenants));
    setMaxListeners(0, signal); // the driver adds two for each query, and Node takes eleven for a leak
    const events = await searchSpans(this.#reader, { tenants, known, near, latest }, signal);
    const found = [...events].map(([tenant, range]): TenantSpan => ({ tenant, ...range }));

    const spans = byTenant(found);
    for (const other of await cachedSpans(this.#pool, tenants)) {
      const span = spans.get(other.tenant) ?? other;
      const { tenant } = other;
      spans.set(tenant, { tenant, from: earlierDay(span.from, other.from), to: laterDay(span.to, other.to) });
    }
    return {
      spans: [...spans.values()].sort((a, b) => compareKeys(a.tenant, b.tenant)),
      found,
      searchedThrough: addDays(today, -1),
    };
  }
}

function byTenant(tenants: readonly TenantSpan[]): Map<string, TenantSpan> {
  return new Map(tenants.map((known) => [known.tenant, known]));
}
