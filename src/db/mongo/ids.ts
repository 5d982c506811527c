import { Binary, Decimal128, Double, Int32, Long, ObjectId, Timestamp, UUID } from "mongodb";

const OBJECT_ID = /^[0-9a-f]{24}$/;
const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const CANONICAL_INTEGER = /^(0|-?[1-9]\d*)$/;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** A value that an id in the source may have. */
export type IdValue = string | ObjectId | UUID | Long;

/**
 * Every value whose text is `text`: the string; the ObjectId if it is 24 lower-case hex digits; the UUID and the
 * integer if written canonically. A query for the id asks for all of them. The integer matches every number type,
 * because the servers compare numbers by value.
 */
export function idCandidates(text: string): IdValue[] {
  const candidates: IdValue[] = [text];
  if (OBJECT_ID.test(text)) candidates.push(ObjectId.createFromHexString(text));
  if (CANONICAL_UUID.test(text)) candidates.push(new UUID(text));
  if (CANONICAL_INTEGER.test(text) && isInt64(BigInt(text))) candidates.push(Long.fromString(text));
  return candidates;
}

/**
 * The text of an id (as read with `promoteValues: false`, though plain numbers are understood too), or undefined for
 * a value that is no id: another type, a fraction, a number past 64 bits.
 */
export function idText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (value instanceof ObjectId) return value.toHexString();
  if (value instanceof Binary) {
    return value.sub_type === Binary.SUBTYPE_UUID && value.length() === 16 ? value.toUUID().toString() : undefined;
  }
  const integer = toInteger(value);
  return integer !== undefined && isInt64(integer) ? integer.toString() : undefined;
}

function isInt64(value: bigint): boolean {
  return value >= INT64_MIN && value <= INT64_MAX;
}

/** A BSON number of any type as an integer; undefined for a fraction, NaN or another type. */
function toInteger(value: unknown): bigint | undefined {
  if (value instanceof Timestamp) return undefined; // a subclass of Long, but no number
  if (value instanceof Long) return value.toBigInt();
  if (value instanceof Int32) return BigInt(value.value);
  if (typeof value === "bigint") return value;
  const number = value instanceof Double ? value.value : value;
  if (typeof number === "number") return Number.isInteger(number) ? BigInt(number) : undefined;
  if (value instanceof Decimal128) {
    const { coefficient, exponent, negative, finite } = readDecimal128(value);
    if (!finite) return undefined;
    const sign = negative ? -1n : 1n;
    if (coefficient === 0n) return 0n;
    if (exponent > 20) return undefined; // past 64 bits
    if (exponent >= 0) return sign * coefficient * 10n ** BigInt(exponent);
    const divisor = 10n ** BigInt(-exponent);
    return coefficient % divisor === 0n ? (sign * coefficient) / divisor : undefined;
  }
  return undefined;
}

const EXPONENT_BIAS = 6_176;
const COEFFICIENT_HIGH_MASK = (1n << 49n) - 1n;

/**
 * Reads a Decimal128 from its bytes (IEEE 754-2008, binary integer decimal, little-endian): 1 sign bit, 14 bits of
 * exponent, 113 of coefficient. Where the two bits after the sign are both set the value is NaN, an infinity, or a
 * coefficient past 34 digits, which counts as zero.
 */
export function readDecimal128({ bytes }: Decimal128): {
  coefficient: bigint;
  exponent: number;
  negative: boolean;
  finite: boolean;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const high = view.getBigUint64(8, true);
  const top = view.getUint16(14, true);
  const negative = (top & 0x8000) !== 0;
  if ((top & 0x6000) === 0x6000) {
    return { coefficient: 0n, exponent: 0, negative, finite: (top & 0x7800) !== 0x7800 };
  }
  const exponent = ((top & 0x7fff) >> 1) - EXPONENT_BIAS;
  const coefficient = ((high & COEFFICIENT_HIGH_MASK) << 64n) | view.getBigUint64(0, true);
  return { coefficient, exponent, negative, finite: true };
}
