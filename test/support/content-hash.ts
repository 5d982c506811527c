import { createHash } from "node:crypto";
import type { StoredRow } from "./differences.ts";
import { canonicalDecimal } from "./exact-number.ts";
import { JsonNumber, parseLossless, type Json } from "./lossless-json.ts";

const MEMBERS = ["totalRequests", "totalTokens", "promptTokens", "completionTokens", "totalCost"];

const bytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const text = (value: Json | undefined) => (value instanceof JsonNumber ? value.text : (value as string));

/** The SHA-256 that a row must carry, in hex, from nothing but what the row stores. */
export function contentHash(row: StoredRow): string {
  const hash = createHash("sha256");
  const write = (end: string, ...fields: (string | number)[]) => hash.update(fields.join("\0") + end);
  const { total_requests, total_tokens, prompt_tokens, completion_tokens, total_cost, malformed_events } = row;
  const cost = canonicalDecimal(total_cost);
  write("\n", "1", total_requests, total_tokens, prompt_tokens, completion_tokens, cost, malformed_events);

  for (const name of ["user", "model", "provider"] as const) {
    const document = parseLossless(row[`aggregated_by_${name}`]) as Map<string, Map<string, Json>>;
    write("\n", name, document.size);
    for (const key of [...document.keys()].sort(bytes)) {
      write("\n", key, ...MEMBERS.map((member) => text(document.get(key)?.get(member))));
    }
  }

  const raw = parseLossless(row.raw_data) as Map<string, Json>;
  const rows = raw.get("rows") as Json[][] | null;
  if (!rows) {
    write("\n", "omitted", text(raw.get("omitted")));
  } else {
    write("\n", "raw", rows.length);
    for (const cells of rows) write("\n", ...cells.map(text));
  }
  return hash.digest("hex");
}
