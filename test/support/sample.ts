import { Decimal128 } from "mongodb";

export type SampleEvent = Record<string, unknown>;

const DEFAULTS: SampleEvent = {
  tenant_id: "acme",
  user_id: "alice",
  model: "gpt-4o",
  provider: "openai",
  prompt_tokens: 10,
  completion_tokens: 5,
  cost: Decimal128.fromString("0.001"),
  created_at: new Date("2026-03-01T12:00:00Z"),
};

/**
 * One valid event of tenant acme on 2026-03-01 (in UTC, Europe and America alike) with what differs; a field that is
 * `undefined` is left out. There is no total_tokens unless given, so that it always is prompt + completion.
 */
export function event(differs: SampleEvent = {}): SampleEvent {
  const fields = Object.entries({ ...DEFAULTS, ...differs });
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
}

/** So many events, each with what differs by its number. */
export function sampleEvents(count: number, differs: (number: number) => SampleEvent = () => ({})): SampleEvent[] {
  return Array.from({ length: count }, (_, number) => event(differs(number)));
}
