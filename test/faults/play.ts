import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { mulberry32 } from "../support/random.ts";
import { Scene } from "./scene.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { ServerPark } from "./servers.ts";
import { judge } from "./verdict.ts";

/** How often a fault that hit no work in progress is injected again. */
const TRIES = 4;

/** One row of the table. */
export interface Outcome {
  readonly scenario: string;
  /** place of the scenario in the list */
  readonly order: number;
  readonly round: number;
  readonly moment: string;
  readonly hit: string;
  /** from the fault to the end of every run */
  readonly seconds: number;
  /** tenant-days whose row or history is wrong */
  readonly wrong: number;
  readonly lost: number;
  readonly verdict: "right" | "wrong" | "missed" | "broken";
  /** what is wrong, for a person */
  readonly found: readonly string[];
}

/** Plays one scenario until its fault hits, and judges the result. */
export async function play(
  scenario: Scenario,
  round: number,
  seed: number,
  park: ServerPark,
  say: (line: string) => void,
): Promise<Outcome> {
  const order = SCENARIOS.indexOf(scenario);
  const name = { scenario: scenario.name, order, round };
  for (let attempt = 0; ; attempt++) {
    const random = mulberry32(seed + 1_000_003 * round + 7_919 * order + 104_729 * attempt);
    try {
      const outcome = await playOnce(scenario, random, park);
      if (outcome.verdict !== "missed" || attempt + 1 === TRIES) return { ...name, ...outcome };
      say(`${scenario.name} ${round}: the fault missed the work (${outcome.moment}); again`);
    } catch (error) {
      const { message, cause } = error as Error;
      const found = [message, ...(cause instanceof Error ? (cause.stack ?? "").split("\n").slice(1, 8) : [])];
      return { ...name, moment: "-", hit: "-", seconds: 0, wrong: 0, lost: 0, verdict: "broken", found };
    }
  }
}

async function playOnce(
  scenario: Scenario,
  random: () => number,
  park: ServerPark,
): Promise<Omit<Outcome, "scenario" | "order" | "round">> {
  const scene = await Scene.open(await park.for(scenario), scenario.name, scenario.settings, random);
  try {
    const { moment, hit, at, thaw, faults } = await scenario.inject(scene);
    const ended = await scene.settled(at);
    const seconds = Math.round((performance.now() - at) / 100) / 10;
    await thaw?.();
    const stops = await scene.stopReplicas();
    const { wrong, lost, runs } = await judge(scene);
    const found = [
      ...(ended ? [] : ["a run is stuck"]),
      ...stops,
      ...((await faults?.()) ?? []),
      ...runs,
      ...lost.map((day) => `${JSON.stringify(day)}: no row`),
      ...wrong.map(({ day, what }) => `${JSON.stringify(day)}: ${what}`),
    ];
    const wrongDays = new Set(wrong.map(({ day }) => day)).size;
    const isRight = found.length === 0;
    const verdict = !isRight ? "wrong" : hit === undefined ? "missed" : "right";
    if (!isRight) found.push(`logs: ${await keepLogs(scenario.name, scene)}`);
    return { moment, hit: hit ?? "nothing", seconds, wrong: wrongDays, lost: lost.length, verdict, found };
  } catch (error) {
    throw new Error(`${(error as Error).message} (logs: ${await keepLogs(scenario.name, scene)})`, { cause: error });
  } finally {
    await scene.close();
  }
}

/** @returns the path of the file with the processes' logs */
async function keepLogs(name: string, scene: Scene): Promise<string> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), `tallyman-faults-`)), `${name}.log`);
  await writeFile(file, scene.everyLog());
  return file;
}
