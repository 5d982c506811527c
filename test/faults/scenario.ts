import type { Scene } from "./scene.ts";
import type { ServerWishes } from "./servers.ts";

/** The report of a scenario, for the table and the judgement. */
export interface Injection {
  /** when, as the generator chose it */
  readonly moment: string;
  /** proof that the fault met work in progress; undefined if it did not, and the scenario is repeated */
  readonly hit: string | undefined;
  /** performance.now() at the (last) fault */
  readonly at: number;
  /** what the scenario does once every run has ended, before the processes are stopped */
  readonly thaw?: () => Promise<void>;
  /** faults that the scenario itself saw, once everything has ended */
  readonly faults?: () => Promise<string[]> | string[];
}

/** One fault and the work that it interrupts. */
export interface Scenario extends ServerWishes {
  /** for --only */
  readonly name: string;
  /** why the fault cannot be injected on this machine; undefined = it can */
  readonly impossible?: () => string | undefined;
  /** processes that it runs at once, for sharing the machine */
  readonly processes: number;
  /** settings in addition to the connections */
  readonly settings: Readonly<Record<string, string>>;
  /** Starts the work and injects the fault; resolves when only the system's recovery is left. */
  inject(scene: Scene): Promise<Injection>;
}

/** One process works on one chunk at a time, and one aggregation runs at a time: a run takes seconds. */
export const ONE_AT_A_TIME = { WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "2" } as const;
