import type { ServerName } from "../../dev/servers.ts";
import type { Scene } from "./scene.ts";

/** What a scenario did, for the table and the judgement. */
export interface Injection {
  /** when, as the generator chose it */
  readonly moment: string;
  /** proof that work was in hand when the fault came; undefined when the fault missed it, and the scenario is repeated */
  readonly hit: string | undefined;
  /** performance.now() at the (last) fault */
  readonly at: number;
  /** what the scenario itself saw go wrong, when everything has ended */
  readonly faults?: () => Promise<string[]> | string[];
}

/** One fault and the work that it interrupts. */
export interface Scenario {
  /** for --only */
  readonly name: string;
  /** servers that the fault takes down, so nobody else may use them */
  readonly owns: readonly ServerName[];
  /** processes that it runs at once, for sharing the machine */
  readonly processes: number;
  /** settings beside the connections */
  readonly settings: Readonly<Record<string, string>>;
  /** Starts the work and injects the fault; returns when the rest is up to the system. */
  inject(scene: Scene): Promise<Injection>;
}

/** One process works on one chunk at a time, and one aggregation runs at a time: a run takes seconds. */
export const ONE_AT_A_TIME = { WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "2" } as const;
