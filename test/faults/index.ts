/**
 * `npm run test:faults`: real servers and real processes, one fault a scenario, at a moment that a seeded generator
 * chooses. Exit 0 when every table and every run is right after every fault.
 */
import { randomInt } from "node:crypto";
import { Command, InvalidArgumentError } from "commander";
import { SCENARIOS } from "./scenarios.ts";
import { play, type Outcome } from "./play.ts";
import { ServerPark } from "./servers.ts";
import { outcomeTable } from "./outcome-table.ts";
import { Room } from "./room.ts";

/** Processes at a time: more would wait for each other on two cores. */
const PROCESSES = 12;
const MOST_ROUNDS = 50;

interface Options {
  readonly rounds: number;
  readonly seed: number;
  readonly only: readonly string[];
}

const wholeNumber = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value < least || value > most) {
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  }
  return value;
};
const scenarioName = (name: string, before: readonly string[]) => {
  if (SCENARIOS.some((scenario) => scenario.name === name)) return [...before, name];
  throw new InvalidArgumentError(`It must be one of ${SCENARIOS.map((scenario) => scenario.name).join(", ")}.`);
};

await new Command("npm run test:faults --")
  .description("Kill processes and take down servers in the middle of runs, and judge what is stored in the end.")
  .option(
    "--rounds <count>",
    "how often each fault is injected, each time at another moment",
    wholeNumber(1, MOST_ROUNDS),
    1,
  )
  .option(
    "--seed <number>",
    "chooses the moments and the events; printed by every run",
    wholeNumber(0, 2 ** 32 - 1),
    randomInt(2 ** 32),
  )
  .option("--only <name>", "this fault alone (repeatable)", scenarioName, [])
  .allowExcessArguments(false)
  .action(main)
  .parseAsync();

async function main({ rounds, seed, only }: Options): Promise<void> {
  const begun = performance.now();
  const say = (line: string) =>
    console.log(`${((performance.now() - begun) / 1_000).toFixed(0).padStart(5)} s  ${line}`);
  const wanted = SCENARIOS.filter(({ name }) => only.length === 0 || only.includes(name));
  const left = wanted.flatMap(({ name, impossible }) => {
    const why = impossible?.();
    return why === undefined ? [] : [`${name}: not here, ${why}`];
  });
  for (const line of left) console.log(line);
  if (left.length > 0 && only.length > 0) process.exit(1); // it was asked for
  const scenarios = wanted.filter(({ impossible }) => impossible?.() === undefined);
  console.log(`seed ${seed}, ${rounds} rounds of ${scenarios.map(({ name }) => name).join(", ")}`);
  const park = new ServerPark(seed);
  const outcomes: Outcome[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      const room = new Room(PROCESSES);
      const played = scenarios.map((scenario) =>
        room.use(scenario.processes, async () => {
          const outcome = await play(scenario, round, seed, park, say);
          outcomes.push(outcome);
          say(`${scenario.name} ${round}: ${outcome.verdict}, ${outcome.seconds} s`);
        }),
      );
      await Promise.all(played);
    }
  } finally {
    await park.stop();
  }
  console.log(`\n${outcomeTable(outcomes)}`);
  const bad = outcomes.filter(({ verdict }) => verdict !== "right");
  for (const { scenario, round, found } of bad)
    console.log(`\n${scenario} ${round}:\n  ${found.slice(0, 20).join("\n  ")}`);
  const faults = outcomes.length;
  console.log(
    `\nseed ${seed}: ${faults} faults in ${Math.round((performance.now() - begun) / 1_000)} s, ${faults - bad.length} right, ${bad.length} not`,
  );
  process.exit(bad.length === 0 ? 0 : 1);
}
