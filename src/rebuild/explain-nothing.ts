import type { InvisibleReader } from "../db/mongo/invisible.ts";
import { SampleError, type Sampled } from "../db/mongo/event-sample.ts";
import type { ReadOptions } from "../db/mongo/read.ts";
import { addDays, dayBounds, earlierDay, FIRST_DAY, laterDay, type Day, type DayBounds } from "../usage/day.ts";
import { kindOf, type EventSample, type Finding, type SourceField } from "../usage/finding.ts";
import type { DayRange, TenantSpan } from "../usage/tenant-day.ts";
import type { ReadContext, RunSettings } from "./read-tenant-day.ts";

/** All samples of one finding together take the server no longer than this. */
const SAMPLE_LIMIT_MS = 1_000;
/** A limit of 0 would mean none. */
const SHORTEST_LIMIT_MS = 50;
/** On DocumentDB the cost of a long list of tenants grows faster than its length. */
const SAMPLED_TENANTS = 100;

/** What explainNothing() needs. */
export interface FindingContext extends Pick<ReadContext, "signal"> {
  readonly settings: Pick<RunSettings, "timeZone">;
  readonly invisible: InvisibleReader;
  readonly today: () => Day;
}

/** The tenants that were asked for, and the days that they have. */
export interface Nothing {
  /** undefined = every tenant */
  readonly tenants: readonly string[] | undefined;
  /** the first and the last day on which each tenant has events or rows */
  readonly known: readonly TenantSpan[];
}

/**
 * Tells why no tenant-day was found, from a sample of events. Of tenants that were asked for, their own events are
 * sampled, first those whose time is no date; only tenants without any event are looked for among the newest events.
 * Never fails because of the sample: a server that takes too long, or refuses, is a finding too.
 */
export async function explainNothing({ tenants, known }: Nothing, context: FindingContext): Promise<Finding> {
  const { collection } = context.invisible;
  const days = rangeOf(known);
  const found = { collection, invisible: [], absent: [], present: [], days, error: null } as const;
  const look = new Look(context);
  try {
    const own = tenants && (await look.at({ which: "tenantsWithoutDate", tenants: tenants.slice(0, SAMPLED_TENANTS) }));
    if (own && own.events === 0 && days) return { ...found, kind: "otherDays", sampled: null };
    const sample = own && own.events > 0 ? own : await look.atOthers(tenants);
    const absent = sample.absent.filter((field) => isNeeded(field) || isMapped(field));
    const present = absent.length > 0 ? await look.atNames() : [];
    return { ...found, kind: kindOf(sample), sampled: sample.events, invisible: sample.invisible, absent, present };
  } catch (error) {
    if (!(error instanceof SampleError)) throw error;
    return { ...found, kind: "notSampled", sampled: null, error: error.message };
  }
}

/**
 * Fields that EVENTS_FIELDS names and no sampled event has: probably misspelt, and then they are 0 or unknown in every
 * row. Looks only where EVENTS_FIELDS names a field other than by default. undefined = nothing to report
 */
export async function findAbsentFields(context: FindingContext): Promise<Finding | undefined> {
  const { invisible } = context;
  const isDefault = Object.entries(invisible.fields).every(([field, path]) => field === path);
  if (isDefault) return undefined;
  const look = new Look(context);
  try {
    const sample = await look.at({ which: "newest" });
    const absent = sample.absent.filter(isMapped);
    if (absent.length === 0) return undefined;
    const { collection } = invisible;
    const facts = { collection, sampled: sample.events, invisible: sample.invisible, absent, days: null, error: null };
    return { kind: "fieldAbsent", ...facts, present: await look.atNames() };
  } catch (error) {
    if (!(error instanceof SampleError)) throw error;
    return undefined; // the days were found; this is only a hint
  }
}

/** Why a nightly rebuild has no day at all. */
export function allBeforeHorizon({ collection }: InvisibleReader): Finding {
  const none = { invisible: [], absent: [], present: [], days: null, error: null };
  return { kind: "beforeHorizon", collection, sampled: null, ...none };
}

/** The instants whose events rebuilds see: from the first day that counts to the end of tomorrow. */
export function visibleInstants({ settings, today }: Pick<FindingContext, "settings" | "today">): DayBounds {
  return {
    start: dayBounds(FIRST_DAY, settings.timeZone).start,
    end: dayBounds(addDays(today(), 1), settings.timeZone).end,
  };
}

/** Samples within one limit of time together. They take no permit, as the search for tenants takes none. */
class Look {
  readonly #context: FindingContext;
  #leftMs = SAMPLE_LIMIT_MS;

  constructor(context: FindingContext) {
    this.#context = context;
  }

  at(sampled: Sampled): Promise<EventSample> {
    const { invisible } = this.#context;
    return this.#timed((options) => invisible.sample(sampled, visibleInstants(this.#context), options));
  }

  /** Other events of the tenants, or else the newest of all. */
  async atOthers(tenants: readonly string[] | undefined): Promise<EventSample> {
    const own = tenants && (await this.at({ which: "tenants", tenants: tenants.slice(0, SAMPLED_TENANTS) }));
    return own && own.events > 0 ? own : this.at({ which: "newest" });
  }

  atNames(): Promise<string[]> {
    return this.#timed((options) => this.#context.invisible.fieldNames(options));
  }

  async #timed<T>(read: (options: ReadOptions) => Promise<T>): Promise<T> {
    const started = Date.now();
    try {
      return await read({ maxTimeMs: Math.max(this.#leftMs, SHORTEST_LIMIT_MS), signal: this.#context.signal });
    } finally {
      this.#leftMs -= Date.now() - started;
    }
  }
}

const isMapped = ({ field, path }: SourceField): boolean => field !== path;
const isNeeded = ({ field }: SourceField): boolean => field === "tenant_id" || field === "created_at";

function rangeOf(spans: readonly TenantSpan[]): DayRange | null {
  return spans.reduce<DayRange | null>((range, { from, to }) => {
    return range ? { from: earlierDay(range.from, from), to: laterDay(range.to, to) } : { from, to };
  }, null);
}
