/**
 * Exact numbers. Costs are integers of 10^-18 (`SCALE`), because every cost is rounded to 18 decimals before it is
 * summed; token counts are whole numbers that stay JS numbers while that is exact and become bigints past 2^53.
 */

/** Decimals of a cost. */
export const SCALE = 18;

const UNIT = 10n ** BigInt(SCALE);
const POWERS = Array.from({ length: 80 }, (_, exponent) => 10n ** BigInt(exponent));

/** A whole number from 0 up, exact: a JS number up to 2^53 - 1, a bigint above. */
export type Whole = number | bigint;

/** Adds without losing a digit. */
export function addWhole(a: Whole, b: Whole): Whole {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (sum <= Number.MAX_SAFE_INTEGER) return sum;
  }
  return whole(BigInt(a) + BigInt(b));
}

/** The canonical representation: a JS number if that is exact, else a bigint. */
export function whole(value: bigint): Whole {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= 0n ? Number(value) : value;
}

/** -1, 0 or 1. */
export function compareWhole(a: Whole, b: Whole): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * coefficient x 10^exponent as an integer of 10^-18. The servers round each cost to 18 decimals, so more of them is a
 * fault: a remainder that is not zero throws a RangeError.
 */
export function scaled(coefficient: bigint, exponent: number): bigint {
  const shift = exponent + SCALE;
  if (coefficient === 0n) return 0n;
  if (shift >= 0) return coefficient * power(shift);
  const divisor = power(-shift);
  if (coefficient % divisor !== 0n) throw new RangeError(`a sum of costs has more than ${SCALE} decimals`);
  return coefficient / divisor;
}

function power(exponent: number): bigint {
  return POWERS[exponent] ?? 10n ** BigInt(exponent);
}

/** A cost as canonical decimal text: no exponent, no trailing zeros, no "-0"; 1500000000000000000n is "1.5". */
export function formatCost(cost: bigint): string {
  if (cost < 0n) return `-${formatCost(-cost)}`;
  const integer = cost / UNIT;
  const rest = cost % UNIT;
  if (rest === 0n) return integer.toString();
  const digits = rest.toString().padStart(SCALE, "0");
  let end = SCALE;
  while (digits.charCodeAt(end - 1) === 48) end--;
  return `${integer}.${digits.slice(0, end)}`;
}

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

/** Reads what PostgreSQL prints for a numeric (plain decimal text) as an integer of 10^-18. */
export function parseCost(text: string): bigint {
  const match = DECIMAL.exec(text);
  if (!match) throw new RangeError(`not a plain decimal: ${text}`);
  const fraction = match[3] ?? "";
  const value = scaled(BigInt(`${match[2] ?? ""}${fraction}`), -fraction.length);
  return match[1] === "-" ? -value : value;
}

/**
 * Is a cost lower than one that PostgreSQL prints? The stored one may have been written by hand: with more decimals than
 * ours, or as NaN or Infinity, which are above every cost.
 */
export function isBelowStored(cost: bigint, stored: string): boolean {
  const match = DECIMAL.exec(stored);
  if (!match) return stored !== "-Infinity";
  const fraction = match[3] ?? "";
  const scale = Math.max(SCALE, fraction.length);
  const units = BigInt(`${match[1] ?? ""}${match[2] ?? ""}${fraction}`) * 10n ** BigInt(scale - fraction.length);
  return cost * 10n ** BigInt(scale - SCALE) < units;
}
