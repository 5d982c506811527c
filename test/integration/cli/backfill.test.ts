import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import pg from "pg";
import { createDatabase } from "../../../dev/servers.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { migrate } from "../../../src/db/postgres/migrate.ts";
import { hostileEvents } from "../../support/hostile.ts";
import { endProcesses, run, start, startWorker, untilWorked } from "../../support/process.ts";
import { storedRows, type WholeRow } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";

const RANGE = ["--from", "2026-03-01", "--to", "2026-03-12"];
const DAYS = { from: "2026-03-01", days: 12, timeZone: "UTC" };
/** four tenants with clean events, and acme with hostile ones */
const EVENTS = [
  ...hostileEvents({ seed: 1, ...DAYS, perDay: 60, kinds: "clean" }),
  ...[...hostileEvents({ seed: 2, ...DAYS, perDay: 300, kinds: "hostile" })].filter(
    ({ tenant_id }) => tenant_id === "acme",
  ),
];

const world = useWorld("backfill");
/** a second database for the same events */
let twin: { env: Record<string, string>; pool: pg.Pool };

beforeAll(async () => {
  const databaseUrl = await createDatabase(world.env["DATABASE_URL"] as string, "backfill_twin");
  await migrate(databaseUrl, "up");
  // no REDIS_URL: an inline rebuild must not need one
  const { REDIS_URL: _, ...withoutRedis } = world.env;
  twin = { env: { ...withoutRedis, DATABASE_URL: databaseUrl }, pool: new pg.Pool({ connectionString: databaseUrl }) };
  await world.insert(EVENTS);
});
afterEach(endProcesses);
afterAll(async () => {
  await twin.pool.end();
});

function lines(stdout: string): { created: boolean; run: Run }[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { created: boolean; run: Run });
}

/** A row without the two columns that say when, and where on disk. */
function content({ read_at: _, cached_at: __, ctid: ___, ...rest }: WholeRow): object {
  return rest;
}

async function contents(pool: pg.Pool): Promise<object[]> {
  return Array.from((await storedRows(pool)).values(), content);
}

describe("backfill by two workers", () => {
  test("makes the same table as an inline rebuild, and writes nothing the second time", async () => {
    await Promise.all([startWorker(world.env), startWorker(world.env)]);
    const [byWorkers, inline] = await Promise.all([
      run(world.env, "backfill", ...RANGE, "--watch", "--json"),
      run(twin.env, "rebuild", "--inline", ...RANGE, "--json"),
    ]);
    expect([byWorkers.code, byWorkers.stderr, inline.code, inline.stderr]).toEqual([0, "", 0, ""]);

    const finished = lines(byWorkers.stdout).at(-1)?.run as Run;
    expect(finished.days).toEqual({ planned: 60, written: 60, unchanged: 0, stale: 0, refused: 0, failed: 0 });
    const [inlineRun] = lines(inline.stdout);
    expect(inlineRun?.run.days).toEqual(finished.days);
    expect(inlineRun?.run.sourceEvents).toBe(finished.sourceEvents);
    expect(inlineRun?.run.malformedEvents).toBe(finished.malformedEvents);
    expect(finished.malformedEvents).toBeGreaterThan(0);

    const before = await storedRows(world.pool);
    expect(before.size).toBe(60);
    expect(await contents(twin.pool)).toEqual(Array.from(before.values(), content));
    expect([...before.values()].every(({ revision, state }) => revision === "1" && state === "final")).toBe(true);

    const twinBefore = await storedRows(twin.pool);
    const [again, inlineAgain] = await Promise.all([
      run(world.env, "backfill", ...RANGE, "--watch", "--json"),
      run(twin.env, "rebuild", "--inline", ...RANGE, "--json"),
    ]);
    for (const second of [again, inlineAgain]) {
      expect(second.code).toBe(0);
      expect(lines(second.stdout).at(-1)?.run.days).toMatchObject({ planned: 60, written: 0, unchanged: 60 });
    }
    for (const [pool, first] of [
      [world.pool, before],
      [twin.pool, twinBefore],
    ] as const) {
      const now = await storedRows(pool);
      const kept = ({ cached_at, revision }: WholeRow) => ({ cached_at, revision });
      expect(Array.from(now.values(), kept)).toEqual(Array.from(first.values(), kept));
      expect(await contents(pool)).toEqual(Array.from(first.values(), content));
      for (const [key, { read_at }] of now) expect(read_at > (first.get(key)?.read_at ?? "")).toBe(true);
    }
    const changes = await world.pool.query("SELECT count(*)::int AS n FROM usage_change");
    expect(changes.rows).toEqual([{ n: 60 }]);
  });

  test("is one run however many ask for it at once", async () => {
    const asked = await Promise.all(Array.from({ length: 10 }, () => run(world.env, "backfill", ...RANGE, "--json")));
    expect(asked.map(({ code }) => code)).toEqual(Array(10).fill(0));
    const answers = asked.flatMap(({ stdout }) => lines(stdout));
    expect(answers).toHaveLength(10);
    expect(new Set(answers.map(({ run: { id } }) => id)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
    for (const { stderr } of asked.filter(({ stdout }) => !lines(stdout)[0]?.created)) {
      expect(stderr.replace(/^No worker is running.*\n/, "")).toBe(
        "An unfinished run covers the same range already; it is shown here, with its own reason and priority.\n",
      );
    }

    // nobody works yet: the eleventh follows the same run to its end
    const follower = start(world.env, ["backfill", ...RANGE, "--watch", "--json"]);
    await untilWorked("first line of the watch", () => follower.stdout().includes("\n"));
    await startWorker(world.env);
    const followed = await follower.ended;
    expect(followed.code).toBe(0);
    const last = lines(followed.stdout).at(-1);
    expect(last?.run).toMatchObject({ id: answers[0]?.run.id, state: "done", days: { planned: 60, unchanged: 60 } });
  });

  test("ends right where ranges overlap and run at once", async () => {
    const before = await contents(world.pool);
    await world.empty("daily_usage_cache");
    const ranges = [
      RANGE,
      ["--from", "2026-03-03", "--to", "2026-03-09"],
      ["--from", "2026-03-05", "--to", "2026-03-12", "--tenant", "acme"],
      ["--from", "2026-03-01", "--to", "2026-03-06", "--tenant", "acme", "--tenant", "clean"],
    ];
    const workers = Promise.all([startWorker(world.env), startWorker(world.env)]);
    const asked = await Promise.all(ranges.map((range) => run(world.env, "backfill", ...range, "--watch", "--json")));
    await workers;
    expect(asked.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const days = asked.map(({ stdout }) => lines(stdout).at(-1)?.run.days as Run["days"]);
    expect(days.map(({ planned }) => planned)).toEqual([60, 35, 8, 12]);
    for (const { planned, ...outcomes } of days) {
      expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(planned);
    }
    // four runs met the same rows: each was written by exactly one of them
    expect(days.reduce((sum, { written }) => sum + written, 0)).toBe(60);
    expect(await contents(world.pool)).toEqual(before);
  });

  test("lists what was refused when it is watched", async () => {
    const lost = await world.events.findOneAndDelete({ tenant_id: "clean" });
    expect(lost).not.toBeNull();
    await startWorker(world.env);
    const watched = await run(world.env, "backfill", ...RANGE, "--tenant", "clean", "--watch");
    expect([watched.code, watched.stderr]).toEqual([2, ""]);
    expect(watched.stdout).toMatch(
      /1 refused, 0 failed\n.*\n\ntenant +day +refused +events of the row +events now\nclean /,
    );
  });
});
