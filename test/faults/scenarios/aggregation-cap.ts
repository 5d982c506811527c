import { addDays } from "../../support/civil-day.ts";
import { below } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { runningAggregations } from "../aggregations.ts";
import { PATIENCE_MS, startBuilt } from "../built.ts";
import { shutReadGate } from "../read-gate.ts";
import type { Scenario } from "../scenario.ts";
import type { Scene } from "../scene.ts";

/** Of src/db/postgres/session.ts: processes of other releases take the same locks, so it never changes. */
const PERMIT_CLASS = 0x74616c6d;
const REPLICAS = 10;
const CAP = 4;
/** How often reads are held, and for how long, so that every process that wants to read is waiting. */
const HELD = { times: 3, ms: 3_000 };

/**
 * Ten replicas with chunks for all of them, and an inline run beside. Reads are held up on the server, so that
 * everything which may read at once does: no more than the setting says, by the server that runs them.
 */
export const aggregationCap: Scenario = {
  name: "aggregation-cap",
  owns: ["mongodb"],
  processes: REPLICAS,
  settings: { WORKER_CONCURRENCY: "2", MONGODB_CONCURRENCY: String(CAP) },
  async inject(scene) {
    const { source, servers } = scene;
    const { from, to } = source;
    await scene.startReplicas(Array.from({ length: REPLICAS }, () => ({})));
    await scene.settled(performance.now()); // scheduled runs, such as last night's
    const runId = await scene.backfill();
    const at = performance.now();
    const inline = startBuilt(scene.env, "rebuild", "--inline", "--from", from, "--to", to, "--json");
    await scene.backfill({ from, to: addDays(to, -1) });
    const percent = below(scene.random, 20);
    await scene.percentDone(runId, percent);
    await until("work of the inline run", () => inlineHolds(scene), PATIENCE_MS);
    const samples = await sampled(scene, async () => {
      for (let time = 0; time < HELD.times; time++) {
        const gate = await shutReadGate(servers.mongodb, source);
        await new Promise((resolve) => setTimeout(resolve, HELD.ms));
        await gate.open();
      }
    });
    const ended = await inline.ended;
    const most = (of: (sample: Sample) => number) => Math.max(...samples.map(of));
    const [reads, permits, processes] = [
      most((one) => one.reads),
      most((one) => one.permits),
      most((one) => one.processes),
    ];
    const strange = samples.filter((one) => one.strange > 0).length;
    const withInline = samples.filter((one) => one.isInline).length;
    return {
      moment: `from ${percent}% on, ${HELD.times} times ${HELD.ms} ms`,
      hit:
        processes >= REPLICAS / 2 && reads >= CAP - 1 && withInline > 0
          ? `${samples.length} samples: at most ${reads} reads and ${permits} permits of ${CAP}, ${processes} processes with work, the inline run in ${withInline}`
          : undefined,
      at,
      faults: () => [
        ...(ended.code === 0 ? [] : [`the inline run ended with ${ended.code}: ${ended.stderr}`]),
        ...(reads <= CAP ? [] : [`${reads} aggregations at once, ${CAP} are allowed`]),
        ...(permits <= CAP ? [] : [`${permits} permits held at once, ${CAP} are allowed`]),
        ...(strange === 0 ? [] : [`permits beyond ${CAP} were held in ${strange} samples`]),
      ],
    };
  },
};

/** The state of both servers at one moment. */
interface Sample {
  /** aggregations that run */
  readonly reads: number;
  /** held locks of permits, and below it those of permits that do not exist */
  readonly permits: number;
  readonly strange: number;
  /** processes that hold a chunk */
  readonly processes: number;
  /** whether the inline run holds one */
  readonly isInline: boolean;
}

async function inlineHolds(scene: Scene): Promise<boolean> {
  const rows = await scene.ask(
    "SELECT 1 FROM usage_chunk k JOIN usage_run r ON r.id = k.run_id WHERE r.inline AND k.state = 'running'",
  );
  return rows.length > 0;
}

/** Looks at both servers repeatedly while `work` runs. */
async function sampled(scene: Scene, work: () => Promise<void>): Promise<Sample[]> {
  const samples: Sample[] = [];
  const watch = await runningAggregations(scene.source);
  let isOver = false;
  const working = work().finally(() => (isOver = true));
  try {
    const look = async () => {
      const [reads, rows, isInline] = await Promise.all([watch.count(), locks(scene), inlineHolds(scene)]);
      samples.push({ reads, isInline, ...(rows[0] ?? { permits: 0, strange: 0, processes: 0 }) });
      return isOver;
    };
    await until("end of the samples", look, PATIENCE_MS);
    await working;
  } finally {
    await watch.close();
  }
  return samples;
}

function locks(scene: Scene) {
  return scene.ask<Pick<Sample, "permits" | "strange" | "processes">>(
    `SELECT count(*)::int AS permits, count(*) FILTER (WHERE objid NOT BETWEEN 1 AND $2)::int AS strange,
            (SELECT count(DISTINCT claimed_by)::int FROM usage_chunk WHERE state = 'running') AS processes
       FROM pg_locks
      WHERE locktype = 'advisory' AND granted AND classid = $1 AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [PERMIT_CLASS, CAP],
  );
}
