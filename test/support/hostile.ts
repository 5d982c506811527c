import { addDays, dayStart } from "./civil-day.ts";
import * as ids from "./hostile-ids.ts";
import * as measured from "./hostile-measures.ts";
import { below, deck, mulberry32 } from "./random.ts";

export interface HostileOptions {
  seed: number;
  /** first day, `YYYY-MM-DD` */
  from: string;
  days: number;
  timeZone: string;
  /** events a day over all tenants, besides the two on the day's edges that every tenant gets; 1,500 meet every value */
  perDay: number;
  /** "clean": tenants with valid integers and Decimal128 only; "both" is the default */
  kinds?: "clean" | "hostile" | "both";
}

type Deal = () => unknown;
type Random = () => number;

/** How the fields of an event are filled. */
interface Dirt {
  user: Deal;
  model: Deal;
  provider: Deal;
  prompt: Deal;
  completion: Deal;
  total: Deal;
  cost: Deal;
}

interface Tenant {
  id: Deal;
  /** drawn for each day, so that some days of a hostile tenant have few faults */
  dirt: () => Dirt;
  hostile: boolean;
}

const DAY = 86_400_000;

/** One event in so many of a hostile tenant is made invisible. */
const INVISIBLE_EVERY = 12;
/** One event in so many is at an instant that careless day bounds get wrong. */
const SPECIAL_EVERY = 6;

/** Half of the time a value from the catalogue: else every event would be bad in several fields at once. */
function half(random: Random, hostile: readonly unknown[], plain: readonly unknown[]): Deal {
  const dealHostile = deck(random, hostile);
  const dealPlain = deck(random, plain);
  return () => (random() < 0.5 ? dealHostile() : dealPlain());
}

function cleanDirt(random: Random): Dirt {
  const absent = [ids.MISSING, ids.MISSING, null];
  const key = (): Deal => half(random, [...ids.STRING_KEYS, ...absent], ["alice", "bob", "carol"]);
  const tokens = (): Deal => deck(random, [...measured.CLEAN_TOKENS, ...absent]);
  const cost = deck(random, [...measured.CLEAN_COSTS, ...absent]);
  return {
    user: key(),
    model: key(),
    provider: key(),
    prompt: tokens(),
    completion: tokens(),
    total: half(random, [ids.MISSING], measured.CLEAN_TOKENS),
    cost,
  };
}

function hostileDirts(random: Random): Dirt[] {
  const keys = {
    user: half(random, [...ids.USERS, ...ids.ARRAY_USERS], ["alice", "bob", "carol"]),
    model: half(random, ids.MODELS, ["gpt-4o", "claude", "5"]),
    provider: half(random, ids.MODELS, ["openai", "anthropic"]),
  };
  const measures = (tokens: readonly unknown[], costs: readonly unknown[]): Dirt => ({
    ...keys,
    prompt: half(random, tokens, measured.CLEAN_TOKENS),
    completion: half(random, tokens, measured.CLEAN_TOKENS),
    total: half(random, tokens, [ids.MISSING, ...measured.CLEAN_TOKENS]),
    cost: half(random, costs, measured.CLEAN_COSTS),
  });
  const anything = measures(measured.TOKENS, measured.COSTS);
  return [
    anything,
    anything,
    anything,
    measures(measured.BAD_INTEGERS, measured.CLEAN_COSTS),
    measures(measured.CLEAN_TOKENS, measured.DOUBLE_COSTS),
    { ...cleanDirt(random), ...keys },
  ];
}

function tenantsOf(random: Random, kinds: "clean" | "hostile" | "both"): Tenant[] {
  const clean = cleanDirt(random);
  const dirt = deck(random, hostileDirts(random));
  const cleanTenants = ids.CLEAN_TENANTS.map((ids) => ({
    id: deck(random, ids),
    dirt: () => clean,
    hostile: false,
  }));
  const hostileTenants = ids.HOSTILE_TENANTS.map((ids) => ({ id: deck(random, ids), dirt, hostile: true }));
  return [...(kinds === "hostile" ? [] : cleanTenants), ...(kinds === "clean" ? [] : hostileTenants)];
}

/** Instants within the day: mostly anywhere, often where a wrong bound would show. */
function instantsOf(random: Random, start: number, next: number): () => number {
  const utcMidnight = Math.ceil(start / DAY) * DAY;
  const special = [start, start + 1, start + 999, start + DAY - 1, start + DAY, next - DAY, next - 1000, next - 1];
  special.push(utcMidnight, utcMidnight - 1, start + DAY - 3_600_000, start + 3_600_000);
  const dealSpecial = deck(
    random,
    special.filter((instant) => instant >= start && instant < next),
  );
  return () => (below(random, SPECIAL_EVERY) === 0 ? dealSpecial() : start + below(random, next - start));
}

function document(tenant: unknown, dirt: Dirt, createdAt: unknown): Record<string, unknown> {
  // MongoDB refuses a document with two arrays in one compound index: an array in a key field excludes others.
  const arrays = Array.isArray(tenant) || Array.isArray(createdAt);
  let user = dirt.user();
  while (arrays && Array.isArray(user)) user = dirt.user();
  const fields = {
    tenant_id: tenant,
    user_id: user,
    model: dirt.model(),
    provider: dirt.provider(),
    prompt_tokens: dirt.prompt(),
    completion_tokens: dirt.completion(),
    total_tokens: dirt.total(),
    cost: dirt.cost(),
    created_at: createdAt,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ids.MISSING));
}

/**
 * Events that break careless code, the same for the same options. All visible ones lie within the given days of the
 * zone. They carry no `_id`; most of them are malformed, and some of hostile tenants are invisible. No tenant-day's
 * cost reaches 10^16 below some 100,000 events a day.
 */
export function* hostileEvents(options: HostileOptions): Generator<Record<string, unknown>> {
  const { seed, from, days, timeZone, perDay, kinds = "both" } = options;
  const random = mulberry32(seed);
  const tenants = tenantsOf(random, kinds);
  const dealTenant = deck(random, tenants);
  const invisibleTenant = deck(random, ids.INVISIBLE_TENANTS);
  const tooEarly = new Date(dayStart(timeZone, "2000-01-01") - 1);
  const invisibleCreatedAt = deck(random, [...ids.INVISIBLE_CREATED_AT, tooEarly]);

  for (let number = 0; number < days; number++) {
    const day = addDays(from, number);
    const start = dayStart(timeZone, day);
    const next = dayStart(timeZone, addDays(day, 1));
    if (next === start) continue; // a day that the zone skipped
    const instant = instantsOf(random, start, next);
    const dirts = new Map(tenants.map((tenant) => [tenant, tenant.dirt()]));
    const dirtOf = (tenant: Tenant): Dirt => dirts.get(tenant) ?? tenant.dirt();

    for (const tenant of tenants) {
      yield document(tenant.id(), dirtOf(tenant), new Date(start));
      yield document(tenant.id(), dirtOf(tenant), new Date(next - 1));
    }
    for (let event = 0; event < perDay; event++) {
      const tenant = dealTenant();
      const invisible = tenant.hostile && below(random, INVISIBLE_EVERY) === 0;
      const byTenant = invisible && random() < 0.5;
      const id = byTenant ? invisibleTenant() : tenant.id();
      const createdAt = invisible && !byTenant ? invisibleCreatedAt() : new Date(instant());
      yield document(id, dirtOf(tenant), createdAt);
    }
  }
}

/**
 * Events of one tenant-day whose every sum passes 2^53 in odd steps (from 9,008 events on), where a sum of doubles goes
 * wrong, and whose cost has 34 digits just below 10^16. The hostile kind has doubles among the Longs.
 */
export function* hugeEvents(options: {
  day: string;
  timeZone: string;
  tenant?: string;
  kind?: "clean" | "hostile";
  count?: number;
}): Generator<Record<string, unknown>> {
  const { day, timeZone, tenant = "huge", kind = "clean", count = 9_100 } = options;
  const start = dayStart(timeZone, day);
  for (let number = 0; number < count; number++) {
    const big = kind === "hostile" && number % 3 === 0 ? ids.double(1e12 - 1) : ids.long("999999999999");
    yield {
      tenant_id: tenant,
      user_id: `user-${number % 3}`,
      model: "gpt-4o",
      provider: "openai",
      prompt_tokens: big,
      completion_tokens: number % 2 === 0 ? ids.long("1000000000000") : big,
      total_tokens: big,
      cost: ids.decimal("999999999999.999999999999999999"),
      created_at: new Date(start + number),
    };
  }
}
