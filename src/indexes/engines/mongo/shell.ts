/** Values in the syntax of mongosh, which would take extended JSON for plain documents. Pure. */
import { BSON, type Binary } from "mongodb";

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

interface Bson {
  readonly _bsontype: string;
  toString(): string;
}

/** @param value plain, or of BSON's own classes; a Map is a document whose order counts */
export function shellText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shellText).join(", ")}]`;
  if (value instanceof Date) return `ISODate(${JSON.stringify(value.toISOString())})`;
  if (value instanceof RegExp) return String(value);
  if (typeof value === "bigint") return `NumberLong("${value}")`;
  if (typeof value === "number") return String(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  if ("_bsontype" in value) return classText(value as Bson);
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value);
  const given = entries.filter(([, item]) => item !== undefined);
  if (given.length === 0) return "{}";
  const pairs = given.map(([key, item]) => `${IDENTIFIER.test(key) ? key : JSON.stringify(key)}: ${shellText(item)}`);
  return `{ ${pairs.join(", ")} }`;
}

function classText(value: Bson): string {
  const text = JSON.stringify(String(value));
  switch (value._bsontype) {
    case "ObjectId":
      return `ObjectId(${text})`;
    case "Long":
      return `NumberLong(${text})`;
    case "Decimal128":
      return `NumberDecimal(${text})`;
    case "Int32":
    case "Double":
      return String(value);
    case "BSONRegExp": {
      const { pattern, options } = value as BSON.BSONRegExp;
      try {
        return String(new RegExp(pattern, options));
      } catch {
        // The server's regular expressions have syntax and options that JavaScript lacks.
      }
      return `BSONRegExp(${JSON.stringify(pattern)}, ${JSON.stringify(options)})`;
    }
    case "Binary": {
      const binary = value as unknown as Binary;
      if (binary.sub_type === BSON.Binary.SUBTYPE_UUID) return `UUID("${binary.toUUID().toHexString()}")`;
      return `BinData(${binary.sub_type}, "${binary.toString("base64")}")`;
    }
    case "Timestamp": {
      const { t, i } = value as BSON.Timestamp;
      return `Timestamp({ t: ${t}, i: ${i} })`;
    }
    case "MinKey":
    case "MaxKey":
      return `${value._bsontype}()`;
    default:
      return BSON.EJSON.stringify(value);
  }
}
