import { fileURLToPath } from "node:url";
import { addDays, dayOf } from "../../support/civil-day.ts";
import { below } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import type { Replica } from "../replica.ts";
import type { Scenario } from "../scenario.ts";
import type { Scene } from "../scene.ts";
import { TIME_ZONE } from "../source.ts";

const MINUTE = 60_000;
const APART_MS = 10 * MINUTE;
const REPLICAS = 10;
const LATE = 2;
const NIGHTLY_DAYS = 3;
const CLOCK = fileURLToPath(new URL("../shifted-clock.js", import.meta.url));

/**
 * Ten replicas, each with its schedules. The clocks of five are ten minutes ahead, so they fire one occurrence while
 * the others fire the occurrence before; then two of the others are ten minutes on, and fire the later occurrence once
 * more.
 */
export const twoClocks: Scenario = {
  name: "two-clocks",
  owns: [],
  processes: REPLICAS,
  settings: {
    WORKER_CONCURRENCY: "1",
    MONGODB_CONCURRENCY: "3",
    NIGHTLY_DAYS: String(NIGHTLY_DAYS),
    REFRESH_SECONDS: "60",
  },
  async inject(scene) {
    const oneStartMs = await timeOfOneStart(scene);
    const startMs = 15_000 + oneStartMs * REPLICAS;
    const begun = Date.now();
    const slot = Math.ceil((begun + startMs) / MINUTE) * MINUTE;
    const later = slot + APART_MS;
    const times = [slot, later].map((at) => new Date(at));
    const list = (numbers: number[]) => [...new Set(numbers)].join();
    const minutes = list(times.map((at) => at.getUTCMinutes()));
    const hours = list(times.map((at) => at.getUTCHours()));
    /** a clock that shows `at` when this machine's clock shows `due` */
    const env = (at: number, due: number) => ({
      NIGHTLY_CRON: `${minutes} ${hours} * * *`,
      NODE_OPTIONS: `--import=${CLOCK}`,
      CLOCK_SHIFT_MS: String(at - due),
    });

    const due = begun + startMs;
    const jitters = Array.from({ length: REPLICAS }, () => below(scene.random, 2_000));
    const started = await scene.startReplicas(
      jitters.map((jitter, number) => env(number % 2 === 0 ? slot : later, due + jitter)),
    );
    const inTime = Date.now() < due;
    const right = started.filter((_, number) => number % 2 === 0);
    const ahead = started.filter((_, number) => number % 2 === 1);
    await Promise.all([haveFired(right, slot), haveFired(ahead, later)]);

    // Ten minutes later, by the clocks of two of the first five.
    const ends = await Promise.all(right.slice(0, LATE).map((replica) => replica.stop()));
    const lateDue = Date.now() + 10_000 + oneStartMs * LATE;
    const late = await scene.startReplicas(Array.from({ length: LATE }, () => env(later, lateDue)));
    const lateInTime = Date.now() < lateDue;
    await haveFired(late, later);

    const fired = [slot, later].map((at) => [...started, ...late].filter(({ log }) => hasFired(log, at)).length);
    return {
      moment: [slot, later].map(slotName).join(" and "),
      hit: inTime && lateInTime ? `fired by ${fired.join(" and ")} of ${REPLICAS + LATE} processes` : undefined,
      at: performance.now(),
      faults: async () => [
        ...ends.flatMap(({ code }) => (code === 0 ? [] : [`a worker that was asked to stop exited with ${code}`])),
        ...(await slotFaults(scene, [slot, later])),
      ],
    };
  },
};

/** How long a process takes to start on this machine now, in ms. */
async function timeOfOneStart(scene: Scene): Promise<number> {
  const begun = performance.now();
  const probe = await scene.startReplica();
  const ms = performance.now() - begun;
  await probe.stop();
  return Math.round(ms);
}

const slotName = (slot: number) => `${new Date(slot).toISOString().slice(0, 16)}Z`;

/** Does the log of the process say that it fired the nightly schedule for that occurrence? */
function hasFired(log: string, slot: number): boolean {
  const fired = (line: string) => line.includes('"schedule fired"') && line.includes('"nightly"');
  return log.split("\n").some((line) => fired(line) && line.includes(slotName(slot)));
}

async function haveFired(replicas: readonly Replica[], slot: number): Promise<void> {
  await until(
    `firing of ${slotName(slot)} by ${replicas.length} processes`,
    () => replicas.every(({ log }) => hasFired(log, slot)),
    3 * MINUTE,
  );
}

/** Each occurrence must have one run, over the days before its own. */
async function slotFaults(scene: Scene, slots: readonly number[]): Promise<string[]> {
  const runs = await scene.ask<{ slot: string; from: string; to: string }>(
    `SELECT substring(dedupe_key FROM '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d') || 'Z' AS slot,
            from_date::text AS from, to_date::text AS to
       FROM usage_run WHERE kind = 'nightly'`,
  );
  const found: string[] = [];
  for (const name of new Set([...slots.map(slotName), ...runs.map(({ slot }) => slot)])) {
    const own = runs.filter((run) => run.slot === name);
    if (own.length !== 1) found.push(`slot ${name} has ${own.length} runs`);
    const yesterday = addDays(dayOf(TIME_ZONE, Date.parse(name)), -1);
    for (const { from, to } of own) {
      if (to !== yesterday || from > addDays(yesterday, 1 - NIGHTLY_DAYS)) {
        found.push(`the run of slot ${name} covers ${from} to ${to}`);
      }
    }
  }
  return found;
}
