import { stampAt } from "../../support/backends.ts";
import { addDays } from "../../support/civil-day.ts";
import { below, mulberry32 } from "../../support/random.ts";
import { event, type SampleEvent } from "../../support/sample.ts";
import type { World } from "../../support/world.ts";

/** An event, and the clock of PostgreSQL when it was known to be stored. */
interface Stored {
  readonly event: SampleEvent;
  readonly storedBy: string;
}

/** Inserts events of one tenant, one after the other, on days of a range until it is told to stop. */
export class Producer {
  readonly tenant: string;
  readonly stored = new Map<string, Stored[]>();
  #stopped = false;
  readonly #ended: Promise<void>;

  constructor(world: World, tenant: string, from: string, days: number, seed: number) {
    this.tenant = tenant;
    this.#ended = this.#produce(world, from, days, mulberry32(seed));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }

  events(): SampleEvent[] {
    return [...this.stored.values()].flatMap((all) => all.map((one) => one.event));
  }

  async #produce(world: World, from: string, days: number, random: () => number): Promise<void> {
    for (let number = 0; !this.#stopped; number++) {
      // Each day at least once, first and last day first: a plan made meanwhile covers the range.
      const index = number === 0 ? days - 1 : number < days ? number - 1 : below(random, days);
      const date = addDays(from, index);
      const one = event({
        tenant_id: this.tenant,
        user_id: `user-${below(random, 3)}`,
        prompt_tokens: 1 + number,
        created_at: new Date(Date.parse(`${date}T00:00:00Z`) + below(random, 86_400_000)),
      });
      await world.insert([one]);
      const all = this.stored.get(date) ?? [];
      all.push({ event: one, storedBy: await stampAt(world.pool) });
      this.stored.set(date, all);
    }
  }
}
