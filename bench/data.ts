import { Decimal128, type Collection, type Document } from "mongodb";
import { seeded } from "../manifests/data/random.ts";

export { seeded };

/** The size of the benchmark's collection: one tenant, so that one index range holds a day. */
export interface BenchShape {
  tenant: string;
  days: number;
  eventsPerDay: number;
  users: number;
  /** first day, "YYYY-MM-DD", UTC */
  from: string;
}

const MODELS = [
  ["claude-opus", "anthropic"],
  ["claude-sonnet", "anthropic"],
  ["claude-haiku", "anthropic"],
  ["gpt-large", "openai"],
  ["gpt-medium", "openai"],
  ["gpt-small", "openai"],
  ["gemini-pro", "google"],
  ["gemini-flash", "google"],
  ["mistral-large", "mistral"],
  ["mistral-small", "mistral"],
  ["llama-70b", "meta"],
  ["llama-8b", "meta"],
] as const;

const DAY_MS = 86_400_000;

/** One day's events: each user stays on 1 to 3 of the 12 models, cost is Decimal128 with six decimals. */
export function benchDay(shape: BenchShape, dayIndex: number): Document[] {
  const random = seeded(1_000 + dayIndex);
  const start = Date.parse(`${shape.from}T00:00:00Z`) + dayIndex * DAY_MS;
  const events: Document[] = [];
  for (let i = 0; i < shape.eventsPerDay; i++) {
    const user = Math.floor(random() * shape.users);
    const choice = Math.floor(random() * (1 + (user % 3)));
    const [model, provider] = MODELS[(user * 5 + choice * 7) % MODELS.length] ?? MODELS[0];
    const prompt = 1 + Math.floor(random() * 4_000);
    const completion = 1 + Math.floor(random() * 1_000);
    events.push({
      tenant_id: shape.tenant,
      user_id: `user-${String(user).padStart(5, "0")}`,
      model,
      provider,
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      cost: Decimal128.fromString((prompt * 3e-6 + completion * 15e-6).toFixed(6)),
      created_at: new Date(start + Math.floor((i * DAY_MS) / shape.eventsPerDay)),
    });
  }
  return events;
}

/** Inserts all events of the shape, one day a batch; calls `onDay` after each. */
export async function insertBenchEvents(
  events: Collection,
  shape: BenchShape,
  onDay: (done: number) => void = () => undefined,
): Promise<void> {
  for (let day = 0; day < shape.days; day++) {
    await events.insertMany(benchDay(shape, day), { ordered: false });
    onDay(day + 1);
  }
}
