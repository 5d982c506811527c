import { Decimal as Base } from "decimal.js";

/** A private clone: 80 digits hold every sum of the tests, and rounding is half-even as everywhere in Tallyman. */
export const Decimal = Base.clone({
  precision: 80,
  rounding: Base.ROUND_HALF_EVEN,
  minE: -9e15,
  maxE: 9e15,
  defaults: true,
});
export type Decimal = Base;

/** The bson class of a value (`_bsontype`), which tells what `instanceof` cannot: a Timestamp is an instance of Long. */
export function bsonType(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const type: unknown = (value as { _bsontype?: unknown })._bsontype;
  return typeof type === "string" ? type : undefined;
}

/** The value of a double digit by digit; `new Decimal(0.1)` would take the short text "0.1" instead. */
export function exactDouble(value: number): Decimal {
  if (!Number.isFinite(value)) return new Decimal(value);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  const exponent = Math.max(biased, 1) - 1075;
  const sign = bits >> 63n === 1n ? "-" : "";
  // m * 2^-k = m * 5^k / 10^k: a decimal text without a division.
  return exponent >= 0
    ? new Decimal(`${sign}${mantissa << BigInt(exponent)}`)
    : new Decimal(`${sign}${mantissa * 5n ** BigInt(-exponent)}e${exponent}`);
}

/** A number of any BSON type (JS numbers are doubles) with its exact value, which may be NaN or infinite; else undefined. */
export function numberOf(value: unknown): { value: Decimal; double: boolean } | undefined {
  if (typeof value === "number") return { value: exactDouble(value), double: true };
  if (typeof value === "bigint") return { value: new Decimal(String(value)), double: false };
  switch (bsonType(value)) {
    case "Double":
      return { value: exactDouble((value as { value: number }).value), double: true };
    case "Int32":
    case "Long":
    case "Decimal128":
      return { value: new Decimal(String(value)), double: false };
    default:
      return undefined;
  }
}

/** No exponent, no trailing zeros, no -0: the form of every number in the cache's JSON. */
export function canonicalDecimal(value: Decimal | string): string {
  const decimal = new Decimal(value);
  return decimal.isZero() ? "0" : decimal.toFixed();
}
