import { Decimal128, ObjectId, type Document } from "mongodb";
import { seeded } from "../../bench/data.ts";
import { dayBounds, listDays, type Day } from "../../src/usage/day.ts";

/** One event as a producer stores it, and its contribution to its tenant's totals. */
export interface SampleEvent {
  readonly document: Document;
  /** undefined for an event that no rebuild can see */
  readonly counts: Counts | undefined;
  /** it arrived an hour or more after it happened */
  readonly late: boolean;
}

/** By the source contract: a missing value is 0; a bad one is 0 and makes its event malformed. */
export interface Counts {
  readonly tenant: string;
  readonly tokens: number;
  /** billionths of a dollar */
  readonly nanos: number;
  readonly malformed: boolean;
}

interface SampleTenant {
  readonly id: string | number | ObjectId;
  readonly users: number;
  /** on a middling day; weekdays have more, and every week has a little more than the one before */
  readonly eventsPerDay: number;
  /** 0 for Sunday */
  readonly closedOn?: number;
  /** the share of its events that have a fault */
  readonly faults: number;
}

const TENANTS: readonly SampleTenant[] = [
  { id: "northwind-retail", users: 400, eventsPerDay: 1_355, faults: 0.001 },
  { id: "harbor-bank", users: 150, eventsPerDay: 560, faults: 0.0005 },
  { id: "acme-support", users: 60, eventsPerDay: 260, faults: 0.05 },
  { id: "corner-tea-shop", users: 2, eventsPerDay: 6, faults: 0, closedOn: 0 },
  { id: ObjectId.createFromHexString("64b7f0c2a1d3e4f5a6b7c8d9"), users: 20, eventsPerDay: 45, faults: 0.002 },
];

/** About how many events the tenants above have in that many days. */
export const eventsInDays = (days: number) => days * TENANTS.reduce((sum, { eventsPerDay }) => sum + eventsPerDay, 0);

interface Model {
  readonly model: string;
  readonly provider: string;
  /** billionths of a dollar a token */
  readonly prompt: number;
  readonly completion: number;
}

const MODELS = [
  { model: "claude-opus", provider: "anthropic", prompt: 15_000, completion: 75_000 },
  { model: "claude-sonnet", provider: "anthropic", prompt: 3_000, completion: 15_000 },
  { model: "claude-haiku", provider: "anthropic", prompt: 800, completion: 4_000 },
  { model: "gpt-large", provider: "openai", prompt: 2_500, completion: 10_000 },
  { model: "gpt-small", provider: "openai", prompt: 150, completion: 600 },
  { model: "gemini-pro", provider: "google", prompt: 1_250, completion: 5_000 },
  { model: "gemini-flash", provider: "google", prompt: 75, completion: 300 },
  { model: "mistral-large", provider: "mistral", prompt: 2_000, completion: 6_000 },
  { model: "llama-8b", provider: "self-hosted", prompt: 0, completion: 0 },
] as const satisfies readonly Model[];

const HOUR_MS = 3_600_000;
const LATE_SHARE = 0.005;

/**
 * The events of those days up to `now`, none later. A day's events depend on its date and its place in the range
 * only, so two runs on one day have the same ones.
 */
export function* sampleEvents(from: Day, to: Day, now: number, timeZone: string): Generator<SampleEvent> {
  const days = listDays(from, to);
  let serial = 0;
  for (const [index, day] of days.entries()) {
    const { start, end } = dayBounds(day, timeZone);
    const weekday = new Date(`${day}T00:00:00Z`).getUTCDay();
    const busy = (weekday === 0 || weekday === 6 ? 0.5 : 1.2) * (0.8 + (0.4 * index) / days.length);
    for (const [number, tenant] of TENANTS.entries()) {
      if (weekday === tenant.closedOn) continue;
      const random = seeded((Date.parse(day) / 86_400_000) * 64 + number);
      const count = Math.round(tenant.eventsPerDay * busy * (0.9 + 0.2 * random()));
      for (let i = 0; i < count; i++) {
        const at = start + Math.floor(((i + random()) * (end - start)) / count);
        const event = sampleEvent(tenant, at, now, random, serial++);
        if (at <= now) yield event;
      }
    }
    if (index % 5 === 0) yield invisibleEvent(index / 5, Math.min(start + HOUR_MS, now), serial++);
  }
}

function sampleEvent(tenant: SampleTenant, at: number, now: number, random: () => number, serial: number): SampleEvent {
  const user = Math.floor(random() ** 2 * tenant.users); // few users make most of the events
  const choice = Math.floor(random() * (1 + (user % 3)));
  const model: Model = MODELS[(user * 5 + choice * 7 + tenant.users) % MODELS.length] ?? MODELS[0];
  const prompt = 20 + Math.floor(random() * 4_000);
  const completion = 1 + Math.floor(random() * 1_000);
  const nanos = prompt * model.prompt + completion * model.completion;
  const late = random() < LATE_SHARE;
  const arrival = Math.min(now, at + Math.floor(random() * 2_000) + (late ? HOUR_MS * (1 + random() * 71) : 0));
  const fault = random() < tenant.faults ? FAULTS[Math.floor(random() * FAULTS.length)] : undefined;
  const sound = {
    _id: arrivedAt(arrival, serial),
    tenant_id: tenant.id,
    user_id: typeof tenant.id === "number" ? 1_000 + user : `user-${String(user + 1).padStart(3, "0")}`,
    model: model.model,
    provider: model.provider,
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    // One tenant's producer stores doubles, as many do.
    cost: tenant.id === "acme-support" ? nanos / 1e9 : Decimal128.fromString((nanos / 1e9).toFixed(9)),
    created_at: new Date(at),
  };
  const counts = { tenant: String(tenant.id), tokens: prompt + completion, nanos, malformed: false };
  const spoilt: ReturnType<Fault> = fault?.(sound) ?? { document: sound };
  return { document: spoilt.document, counts: { ...counts, ...spoilt.counts }, late: arrival - at >= HOUR_MS };
}

type Fault = (event: Document) => { document: Document; counts?: Partial<Counts> };

/** Incomplete but valid events first, then malformed ones. */
const FAULTS: readonly Fault[] = [
  ({ cost: _, ...event }) => ({ document: event, counts: { nanos: 0 } }),
  ({ total_tokens: _, ...event }) => ({ document: event }),
  ({ user_id: _, ...event }) => ({ document: event }),
  (event) => ({ document: { ...event, prompt_tokens: String(event["prompt_tokens"]) }, counts: { malformed: true } }),
  (event) => ({ document: { ...event, completion_tokens: -1 }, counts: { malformed: true } }),
  (event) => ({ document: { ...event, total_tokens: "n/a" }, counts: { malformed: true, tokens: 0 } }),
  (event) => ({ document: { ...event, cost: "0.02 USD" }, counts: { malformed: true, nanos: 0 } }),
  (event) => ({ document: { ...event, model: { name: event["model"] as string } }, counts: { malformed: true } }),
];

/** Without a tenant, with an empty one, or without a date: such an event belongs to no tenant-day. */
function invisibleEvent(number: number, at: number, serial: number): SampleEvent {
  const event = { _id: arrivedAt(at, serial), user_id: "user-001", model: "gpt-small", prompt_tokens: 10 };
  const faults = [
    { created_at: new Date(at) },
    { tenant_id: "", created_at: new Date(at) },
    { tenant_id: "acme-support", created_at: new Date(at).toISOString() },
  ];
  return { document: { ...event, ...faults[number % faults.length] }, counts: undefined, late: false };
}

/** An id as the driver would have made it at that time, since Tallyman reads the time of arrival from it. */
function arrivedAt(at: number, serial: number): ObjectId {
  const seconds = Math.floor(at / 1_000);
  return ObjectId.createFromHexString(seconds.toString(16).padStart(8, "0") + serial.toString(16).padStart(16, "0"));
}
