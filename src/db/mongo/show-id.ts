import { Binary, BSON, ObjectId } from "mongodb";

/** An `_id` may be a whole document; so much of it is enough to recognise it. */
const SHOWN_CHARACTERS = 200;

/** An `_id` as mongosh writes it, to paste into a query: ObjectId("..."), UUID("..."), a text in quotes; else extended JSON. */
export function showId(id: unknown): string {
  const text = literal(id);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}...` : text;
}

function literal(id: unknown): string {
  if (typeof id === "string") return JSON.stringify(id).replaceAll("\\u0000", "\\0");
  if (id instanceof ObjectId) return `ObjectId("${id.toHexString()}")`;
  if (id instanceof Binary && id.sub_type === Binary.SUBTYPE_UUID && id.length() === 16) {
    return `UUID("${id.toUUID().toString()}")`;
  }
  return BSON.EJSON.stringify(id, { relaxed: true });
}
