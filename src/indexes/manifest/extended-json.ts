/**
 * Dates, regular expressions, ids and numbers in MongoDB's extended JSON. Only objects with one of the keys in FORMS
 * are converted; the driver's own reader would also convert a filter's `$regex`.
 */
import { BSON } from "mongodb";

const FORMS = new Set(["$date", "$regularExpression", "$oid", "$numberDecimal", "$numberLong", "$uuid"]);

type Path = readonly (string | number)[];

/** @param refuse called for each value that cannot be read, which is left as it is */
export function fromExtendedJson(
  value: unknown,
  refuse: (path: Path, message: string) => void,
  path: Path = [],
): unknown {
  if (Array.isArray(value)) return value.map((item, index) => fromExtendedJson(item, refuse, [...path, index]));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  const [only] = entries;
  if (entries.length !== 1 || only === undefined || !FORMS.has(only[0])) {
    return Object.fromEntries(entries.map(([key, item]) => [key, fromExtendedJson(item, refuse, [...path, key])]));
  }
  try {
    const { value: read } = BSON.EJSON.deserialize({ value }, { relaxed: false }) as { value: unknown };
    if (read instanceof BSON.BSONRegExp && /^[ims]*$/.test(read.options)) return new RegExp(read.pattern, read.options);
    if (read instanceof Date && Number.isNaN(read.getTime())) throw new Error("no such date");
    return read;
  } catch (error) {
    refuse(path, `${only[0]} cannot be read: ${(error as Error).message}`);
    return value;
  }
}

/** The reverse: the result has plain objects, arrays, strings, numbers, booleans and null only. */
export function toExtendedJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toExtendedJson);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date || value instanceof RegExp || "_bsontype" in value) {
    const options = { relaxed: value instanceof Date }; // a date stays readable, a Long must not become a number
    return (BSON.EJSON.serialize({ value }, options) as { value: unknown }).value;
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toExtendedJson(item)]));
}
