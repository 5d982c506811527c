/** Moving a sampled time: "-15d", "+2h". Pure. */
import { Long } from "mongodb";

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const WORDS = { s: "seconds", m: "minutes", h: "hours", d: "days", w: "weeks" } as const;
const SHIFT = /^([+-]?\d+(?:\.\d+)?)([smhdw])$/;

/** Milliseconds; undefined if the text is no shift. */
export function shiftMs(shift: string): number | undefined {
  const [, amount, unit] = SHIFT.exec(shift) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNITS[unit as keyof typeof UNITS];
}

/** As an interval of PostgreSQL, whose days are calendar days; undefined if the text is no shift. */
export function shiftInterval(shift: string): string | undefined {
  const [, amount, unit] = SHIFT.exec(shift) ?? [];
  return amount === undefined ? undefined : `${amount} ${WORDS[unit as keyof typeof WORDS]}`;
}

/** Moves a time, or a number of milliseconds; undefined for a value of another type. */
export function moved(value: unknown, ms: number): unknown {
  if (value instanceof Date) return new Date(value.getTime() + ms);
  if (typeof value === "number") return value + ms;
  if (value instanceof Long) return value.add(Long.fromNumber(ms));
  return undefined;
}
