const JSONB_OID = 3802;
const JSONB_VERSION = 1;
const HEADER_BYTES = 20;

/**
 * JSON texts as a binary `jsonb[]` parameter (the wire form of a one-dimensional array without nulls). The driver
 * would send a text array, in which every quote of a document is escaped: for large documents that costs more than
 * the insert.
 */
export function jsonbArray(texts: readonly string[]): Buffer {
  const lengths = texts.map((text) => Buffer.byteLength(text) + 1);
  const buffer = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + 4 + length, HEADER_BYTES));
  buffer.writeInt32BE(1, 0); // dimensions
  buffer.writeInt32BE(0, 4); // no nulls
  buffer.writeInt32BE(JSONB_OID, 8);
  buffer.writeInt32BE(texts.length, 12);
  buffer.writeInt32BE(1, 16); // lower bound
  let offset = HEADER_BYTES;
  texts.forEach((text, index) => {
    offset = buffer.writeInt32BE(lengths[index] as number, offset);
    offset = buffer.writeUInt8(JSONB_VERSION, offset);
    offset += buffer.write(text, offset, "utf8");
  });
  return buffer;
}
