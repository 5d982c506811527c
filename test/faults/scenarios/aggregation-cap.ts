import type { Ended } from "../../support/process.ts";
import { below } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { runningAggregations } from "../aggregations.ts";
import { PATIENCE_MS, startBuilt } from "../built.ts";
import type { Scenario } from "../scenario.ts";
import type { Scene } from "../scene.ts";

/** Of src/db/postgres/slots.ts: processes of other releases take the same locks, so it never changes. */
const SLOT_CLASS = 0x74616c6d;
const REPLICAS = 10;
const CAP = 4;

/**
 * Ten replicas, with chunks for all of them, and an inline run beside: no more aggregations at once than the setting
 * says, by the server that runs them. The fault here is the demand: forty reads would like to run.
 */
export const aggregationCap: Scenario = {
  name: "aggregation-cap",
  owns: ["mongodb"],
  processes: REPLICAS,
  settings: { WORKER_CONCURRENCY: "2", MONGODB_CONCURRENCY: String(CAP) },
  async inject(scene) {
    await scene.startReplicas(Array.from({ length: REPLICAS }, () => ({})));
    await scene.settled(performance.now()); // runs of their own accord, such as the last night's
    const runId = await scene.backfill();
    const percent = below(scene.random, 20);
    await scene.percentDone(runId, percent);
    const at = performance.now();
    const { from, to } = scene.source;
    const inline = startBuilt(scene.env, "rebuild", "--inline", "--from", from, "--to", to, "--json");
    const seen = await sampled(scene, inline.ended);
    const ended = await inline.ended;
    const isDemand = seen.processes >= 5 && seen.reads >= CAP - 1 && seen.withInline > 0;
    return {
      moment: `inline at ${percent}%`,
      hit: isDemand
        ? `${seen.samples} samples: at most ${seen.reads} reads and ${seen.locks} slots of ${CAP}, ${seen.processes} processes with work, ${seen.withInline} samples with the inline run`
        : undefined,
      at,
      faults: () => [
        ...(ended.code === 0 ? [] : [`the inline run ended with ${ended.code}: ${ended.stderr}`]),
        ...(seen.reads <= CAP ? [] : [`${seen.reads} aggregations at once, ${CAP} are allowed`]),
        ...(seen.locks <= CAP ? [] : [`${seen.locks} slots held at once, ${CAP} are allowed`]),
        ...(seen.strange === 0 ? [] : [`slots beyond ${CAP} were held ${seen.strange} times`]),
      ],
    };
  },
};

/** Looks at both servers again and again until the inline run has ended. */
async function sampled(scene: Scene, until_: Promise<Ended>) {
  const seen = { samples: 0, reads: 0, locks: 0, strange: 0, processes: 0, withInline: 0 };
  let isOver = false;
  void until_.then(() => (isOver = true));
  const watch = await runningAggregations(scene.source);
  try {
    await until(
      "end of the inline run",
      async () => {
        const [reads, [row]] = await Promise.all([
          watch.count(),
          scene.ask<{ locks: number; strange: number; processes: number; inline: boolean }>(
            `SELECT count(*)::int AS locks, count(*) FILTER (WHERE l.objid NOT BETWEEN 1 AND $2)::int AS strange,
                    (SELECT count(DISTINCT claimed_by)::int FROM usage_chunk WHERE state = 'running') AS processes,
                    EXISTS (SELECT 1 FROM usage_chunk k JOIN usage_run r ON r.id = k.run_id
                             WHERE r.inline AND k.state = 'running') AS inline
               FROM pg_locks l
              WHERE l.locktype = 'advisory' AND l.granted AND l.classid = $1 AND l.objsubid = 2
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
            [SLOT_CLASS, CAP],
          ),
        ]);
        seen.samples++;
        seen.reads = Math.max(seen.reads, reads);
        seen.locks = Math.max(seen.locks, row?.locks ?? 0);
        seen.strange += row?.strange ?? 0;
        seen.processes = Math.max(seen.processes, row?.processes ?? 0);
        if (row?.inline) seen.withInline++;
        return isOver;
      },
      PATIENCE_MS,
    );
  } finally {
    await watch.close();
  }
  return seen;
}
