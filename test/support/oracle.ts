import { types } from "node:util";
import { addDays, dayOf } from "./civil-day.ts";
import { bsonType, canonicalDecimal, Decimal, numberOf } from "./exact-number.ts";

/*
 * What the cache must hold for a set of events: a plain loop over raw documents, written from the design (sections 2
 * and 3) alone. It must never import from src/, or it would prove nothing.
 */

export interface Measures {
  requests: bigint;
  tokens: bigint;
  prompt: bigint;
  completion: bigint;
  /** canonical decimal */
  cost: string;
}

/** One tenant-day. Keys are neither limited nor folded into `__other__`. */
export interface OracleDay {
  tenant: string;
  date: string;
  totals: Measures;
  byUser: Map<string, Measures>;
  byModel: Map<string, Measures>;
  byProvider: Map<string, Measures>;
  /** by JSON.stringify([user, model, provider]) */
  raw: Map<string, Measures>;
  malformed: bigint;
  sourceEvents: bigint;
}

/** Where an event keeps what; a dot goes into a subdocument. */
export const FIELDS = {
  tenant: "tenant_id",
  user: "user_id",
  model: "model",
  provider: "provider",
  prompt: "prompt_tokens",
  completion: "completion_tokens",
  total: "total_tokens",
  cost: "cost",
  createdAt: "created_at",
};
export type Fields = typeof FIELDS;

export interface OracleOptions {
  timeZone: string;
  fields?: Partial<Fields>;
  /** decides which day is tomorrow */
  now: Date;
}

export const UNKNOWN = "__unknown__";
const FIRST_DAY = "2000-01-01";
const LIMIT = new Decimal("1e12");
const MAX_TENANT_BYTES = 512;
/** Instants outside these are invisible in any zone; days within them compare as text. */
const YEAR_1999 = Date.UTC(1999, 0, 1);
const YEAR_9998 = Date.UTC(9998, 0, 1);

function at(document: Record<string, unknown>, path: string): unknown {
  let value: unknown = document;
  for (const name of path.split(".")) {
    if (Array.isArray(value)) return []; // an array on the way yields an array
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
  }
  return value;
}

const absent = (value: unknown): value is null | undefined => value === undefined || value === null;

/** As the text comes back from BSON: a lone surrogate has become U+FFFD. */
const wellFormed = (text: string): string => Buffer.from(text, "utf8").toString("utf8");

/** The text of an id of a right type; undefined for another type. */
function idText(value: unknown): string | undefined {
  if (typeof value === "string") return wellFormed(value);
  const type = bsonType(value);
  if (type === "ObjectId") return (value as { toHexString(): string }).toHexString();
  if (type === "Binary") {
    const { sub_type, position, buffer } = value as { sub_type: number; position: number; buffer: Uint8Array };
    if (sub_type !== 4 || position !== 16) return undefined;
    const hex = Buffer.from(buffer.subarray(0, 16)).toString("hex");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }
  const number = numberOf(value)?.value;
  if (!number?.isInteger() || number.lt("-9223372036854775808") || number.gt("9223372036854775807")) return undefined;
  return canonicalDecimal(number);
}

function tenantText(value: unknown): string | undefined {
  const text = idText(value);
  if (text === undefined || text === "" || text.includes("\0")) return undefined;
  return Buffer.byteLength(text) <= MAX_TENANT_BYTES ? text : undefined;
}

interface Judged<T> {
  value: T;
  bad: boolean;
}

function key(value: unknown, read: (value: unknown) => string | undefined): Judged<string> {
  if (absent(value)) return { value: UNKNOWN, bad: false };
  const text = read(value);
  if (text === undefined) return { value: UNKNOWN, bad: true };
  return { value: text === "" ? UNKNOWN : text.replaceAll("\0", "\uFFFD"), bad: false };
}

const stringOnly = (value: unknown): string | undefined => (typeof value === "string" ? wellFormed(value) : undefined);

const inRange = (value: Decimal): boolean => value.gte(0) && value.lte(LIMIT); // both are false for NaN

function tokens(value: unknown, whenAbsent: bigint): Judged<bigint> {
  if (absent(value)) return { value: whenAbsent, bad: false };
  const number = numberOf(value)?.value;
  if (!number || !inRange(number) || !number.isInteger()) return { value: 0n, bad: true };
  return { value: BigInt(canonicalDecimal(number)), bad: false };
}

/** The range is judged on the value as stored; then a double is cut to 15 digits, then all to 18 decimals. */
function cost(value: unknown): Judged<Decimal> {
  if (absent(value)) return { value: new Decimal(0), bad: false };
  const number = numberOf(value);
  if (!number || !inRange(number.value)) return { value: new Decimal(0), bad: true };
  const taken =
    number.double && !number.value.isZero()
      ? number.value.toSignificantDigits(15, Decimal.ROUND_HALF_EVEN)
      : number.value;
  return { value: taken.toDecimalPlaces(18, Decimal.ROUND_HALF_EVEN), bad: false };
}

function zero(): Measures {
  return { requests: 0n, tokens: 0n, prompt: 0n, completion: 0n, cost: "0" };
}

/** A tenant-day without events, which the cache may hold as an explicit zero row. */
export function emptyDay(tenant: string, date: string): OracleDay {
  const maps = { byUser: new Map(), byModel: new Map(), byProvider: new Map(), raw: new Map() };
  return { tenant, date, totals: zero(), ...maps, malformed: 0n, sourceEvents: 0n };
}

function add(sum: Measures, event: Measures): void {
  sum.requests += event.requests;
  sum.tokens += event.tokens;
  sum.prompt += event.prompt;
  sum.completion += event.completion;
  sum.cost = canonicalDecimal(new Decimal(sum.cost).plus(event.cost));
}

function addTo(sums: Map<string, Measures>, name: string, event: Measures): void {
  let sum = sums.get(name);
  if (!sum) sums.set(name, (sum = zero()));
  add(sum, event);
}

/** The day of an instant from a BSON Date within 2000-01-01 .. tomorrow; undefined for anything else. */
function visibleDay(value: unknown, timeZone: string, tomorrow: string): string | undefined {
  if (!types.isDate(value)) return undefined;
  const instant = value.getTime();
  if (!(instant >= YEAR_1999 && instant < YEAR_9998)) return undefined;
  const day = dayOf(timeZone, instant);
  return day >= FIRST_DAY && day <= tomorrow ? day : undefined;
}

/**
 * What each tenant-day must be, by `${tenant}|${date}`, and how many events no rebuild can see. Documents may be as
 * inserted or as read with `promoteValues: false` (a promoted Long or Double would have lost its type).
 */
export function oracle(
  events: Iterable<Record<string, unknown>>,
  options: OracleOptions,
): { days: Map<string, OracleDay>; invisible: number } {
  const fields = { ...FIELDS, ...options.fields };
  const tomorrow = addDays(dayOf(options.timeZone, options.now.getTime()), 1);
  const days = new Map<string, OracleDay>();
  let invisible = 0;

  for (const event of events) {
    const tenant = tenantText(at(event, fields.tenant));
    const date = visibleDay(at(event, fields.createdAt), options.timeZone, tomorrow);
    if (tenant === undefined || date === undefined) {
      invisible += 1;
      continue;
    }
    const user = key(at(event, fields.user), idText);
    const model = key(at(event, fields.model), stringOnly);
    const provider = key(at(event, fields.provider), stringOnly);
    const prompt = tokens(at(event, fields.prompt), 0n);
    const completion = tokens(at(event, fields.completion), 0n);
    const total = tokens(at(event, fields.total), prompt.value + completion.value);
    const money = cost(at(event, fields.cost));

    const name = `${tenant}|${date}`;
    let day = days.get(name);
    if (!day) days.set(name, (day = emptyDay(tenant, date)));
    const measures: Measures = {
      requests: 1n,
      tokens: total.value,
      prompt: prompt.value,
      completion: completion.value,
      cost: canonicalDecimal(money.value),
    };
    add(day.totals, measures);
    addTo(day.byUser, user.value, measures);
    addTo(day.byModel, model.value, measures);
    addTo(day.byProvider, provider.value, measures);
    addTo(day.raw, JSON.stringify([user.value, model.value, provider.value]), measures);
    day.sourceEvents += 1n;
    if ([user, model, provider, prompt, completion, total, money].some(({ bad }) => bad)) day.malformed += 1n;
  }
  return { days, invisible };
}
