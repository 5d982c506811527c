/** The fields of an event and their default names in the source; `EVENTS_FIELDS` maps them to others. */
export const EVENT_FIELDS = [
  "tenant_id",
  "user_id",
  "model",
  "provider",
  "prompt_tokens",
  "completion_tokens",
  "total_tokens",
  "cost",
  "created_at",
] as const;

export type EventField = (typeof EVENT_FIELDS)[number];

/** Our name of a field -> its name in the source. */
export type FieldMap = Readonly<Record<EventField, string>>;

/** The longest tenant id, in UTF-8 bytes; events with a longer one are invisible. */
export const MAX_TENANT_BYTES = 512;

/** Why the text is no valid tenant id; undefined = it is valid. */
export function tenantFault(text: string): string | undefined {
  if (text === "") return "is empty";
  if (text.includes("\0")) return "holds a NUL character";
  if (Buffer.byteLength(text) > MAX_TENANT_BYTES) return `is longer than ${MAX_TENANT_BYTES} bytes`;
  return undefined;
}
