import { describe, expect, test } from "vitest";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { run, type Ended } from "../../support/process.ts";
import { storedRows, type WholeRow } from "../../support/stored-rows.ts";
import { useWorldForEach } from "../../support/world.ts";

const RANGE = ["--from", "2026-03-01", "--to", "2026-03-25"];

const world = useWorldForEach("undo");

const say = (...args: string[]): Promise<Ended> => run(world.env, ...args);
const inline = (...args: string[]) => say("rebuild", "--inline", "--json", ...RANGE, ...args);

interface Shown {
  run: { id: string; state: string; kind: string; days: Record<string, number> };
  problems: { refusedDays: object[] }[];
  planned: number;
  forecasts: { tenant: string; date: string; outcome: string; before?: object; after?: object }[];
  totals: { before: object; after: object };
}
const shown = ({ stdout }: Ended) => JSON.parse(stdout) as Shown;

/** Everything of a row but what an undo may move. */
async function contents(): Promise<Map<string, Partial<WholeRow>>> {
  const rows = [...(await storedRows(world.pool))];
  return new Map(rows.map(([key, row]) => [key, { ...row, revision: "", read_at: "", cached_at: "", ctid: "" }]));
}

const changes = async () => {
  const { rows } = await world.pool.query<{ old: string | null; new: string | null; run_id: string }>(
    "SELECT run_id, old_requests AS old, new_requests AS new FROM usage_change ORDER BY id",
  );
  return rows;
};

/** Rows of two tenants, then later events: for all fifteen days of the one, and on fifteen new days of the other. */
async function rowsThenEvents(): Promise<void> {
  await world.insert([...daysOfEvents("acme", "2026-03-01", 15, 3), ...daysOfEvents("beta", "2026-03-01", 10)]);
  expect((await inline()).code).toBe(0);
  await world.insert([...daysOfEvents("acme", "2026-03-01", 15), ...daysOfEvents("beta", "2026-03-11", 15)]);
}

describe("a dry run", () => {
  test("prints what an apply then does, and writes nothing", async () => {
    await rowsThenEvents();
    const tables = async () => {
      const { rows } = await world.pool.query<object>(
        `SELECT (SELECT jsonb_agg(r ORDER BY id) FROM usage_run r) AS runs, (SELECT jsonb_agg(t) FROM usage_tenant t) AS tenants,
                  (SELECT count(*) FROM usage_dirty) AS dirty, (SELECT count(*) FROM usage_change) AS changes`,
      );
      return [rows, [...(await storedRows(world.pool))]];
    };
    const before = await tables();
    const dry = await say("backfill", "--dry-run", "--json", ...RANGE);
    expect([dry.code, dry.stderr]).toEqual([2, ""]);
    expect(await tables()).toEqual(before);

    const { planned, forecasts, totals } = shown(dry);
    expect(planned).toBe(40);
    const outcomes = (tenant: string) => forecasts.filter((day) => day.tenant === tenant).map((day) => day.outcome);
    expect(outcomes("acme")).toEqual(Array(15).fill("changed"));
    expect(outcomes("beta")).toEqual(Array(15).fill("new"));
    // Three events of 1 to 3 prompt and 5 completion tokens each, then one more of 1 and 5.
    expect(forecasts[0]).toEqual({
      tenant: "acme",
      date: "2026-03-01",
      outcome: "changed",
      before: { requests: "3", tokens: "21", cost: "0.003" },
      after: { requests: "4", tokens: "27", cost: "0.004" },
    });
    expect(totals).toMatchObject({ before: { requests: "45" }, after: { requests: "75" } });

    const text = await say("backfill", "--dry-run", ...RANGE);
    expect(text.stdout).toMatch(/acme +2026-03-01 +changed +3 -> 4 +21 -> 27 +0\.003 -> 0\.004/);
    expect(text.stdout).toMatch(/\ntotal +45 -> 75 /);
    expect(text.stdout).toContain(
      "Of 40 tenant-days 30 would be written (15 new, 15 changed), 0 refused, 10 stay as they are, 0 failed. Nothing was written.",
    );

    const applied = await inline();
    expect(shown(applied).run.days).toMatchObject({ planned: 40, written: 30, unchanged: 10 });
    const again = await say("backfill", "--dry-run", ...RANGE);
    expect([again.code, again.stdout]).toEqual([0, "Nothing would change: 40 tenant-days match their events.\n"]);
  });

  test("records no tenant that it finds, and says which named tenants are unknown", async () => {
    await world.insert(daysOfEvents("acme", "2026-03-01", 2));
    const dry = await say("backfill", "--dry-run", "--json", "--tenant", "acme", ...RANGE);
    expect(shown(dry).forecasts).toHaveLength(2);
    expect((await world.pool.query("SELECT 1 FROM usage_tenant")).rows).toEqual([]);
    const unknown = await say("backfill", "--dry-run", "--tenant", "nobody", ...RANGE);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('--tenant "nobody": no event and no row found');
  });
});

describe("undo", () => {
  test("puts back what a run replaced, removes what it created, and can itself be undone", async () => {
    await rowsThenEvents();
    const [before, rowsBefore] = [await contents(), await storedRows(world.pool)];
    const { run: applied } = shown(await inline());
    const after = await contents();
    expect(after).not.toEqual(before);

    const eventsAreAway = { ...world.env, MONGODB_URI: "mongodb://127.0.0.1:1/away", REDIS_URL: undefined };
    const words = ["runs", "undo", applied.id, "--json", "--reason", "wrong import"];
    const undone = await run(eventsAreAway, ...words);
    expect([undone.code, undone.stderr]).toEqual([0, ""]);
    const { run: undo } = shown(undone);
    expect(undo).toMatchObject({ kind: "undo", state: "done", undoes: applied.id, reason: "wrong import" });
    expect(undo.days).toMatchObject({ planned: 30, written: 30, refused: 0, failed: 0 });
    expect(await contents()).toEqual(before);
    const rows = await storedRows(world.pool);
    for (const [key, row] of rowsBefore) {
      const isReplaced = rows.get(key)?.revision !== row.revision;
      expect([key, rows.get(key)?.revision]).toEqual([key, isReplaced ? "3" : "1"]);
      expect(isReplaced ? rows.get(key)?.read_at : row.read_at, key).toBe(row.read_at);
    }
    const undoChanges = (await changes()).filter(({ run_id }) => run_id === undo.id);
    expect(undoChanges.filter((change) => change.new === null)).toHaveLength(15);
    expect(undoChanges.filter((change) => change.old === "4" && change.new === "3")).toHaveLength(15);

    const redone = await say("runs", "undo", undo.id, "--json");
    expect(redone.code).toBe(0);
    expect(await contents()).toEqual(after);
    const twice = await say("runs", "undo", applied.id, "--json");
    expect(twice.code).toBe(2); // the same content, but by another run: it changed since
    expect(await contents()).toEqual(after);
  });

  test("leaves alone and lists the rows that changed since, by content or by revision alone", async () => {
    await rowsThenEvents();
    const { run: applied } = shown(await inline());
    await world.insert([...daysOfEvents("acme", "2026-03-04", 1), ...daysOfEvents("beta", "2026-03-11", 1)]);
    await inline();
    await world.pool.query("UPDATE daily_usage_cache SET revision = revision + 1 WHERE date = '2026-03-05'");
    const rows = await storedRows(world.pool);
    const undone = await say("runs", "undo", applied.id, "--json");
    expect(undone.code).toBe(2);
    const { run: undo, problems } = shown(undone);
    expect(undo.days).toMatchObject({ planned: 30, written: 27, refused: 3 });
    const listed = problems.flatMap(({ refusedDays }) => refusedDays);
    expect(listed).toMatchObject([
      { tenant: "acme", date: "2026-03-04", reason: "changed since", storedEvents: 5 },
      { tenant: "acme", date: "2026-03-05", reason: "changed since", storedEvents: 4 },
      { tenant: "beta", date: "2026-03-11", reason: "changed since", storedEvents: 2 },
    ]);
    const now = await storedRows(world.pool);
    for (const key of ["acme|2026-03-04", "acme|2026-03-05", "beta|2026-03-11"])
      expect(now.get(key)).toEqual(rows.get(key));
  });

  test("is refused of a run that changed nothing, that goes on, or that nobody knows", async () => {
    await rowsThenEvents();
    await inline();
    const { run: idle } = shown(await inline());
    const nothing = await say("runs", "undo", idle.id);
    expect([nothing.code, nothing.stderr]).toEqual([
      1,
      `tallyman: Nothing of run ${idle.id} can be undone: it changed no row, or it ended more than UNDO_RETENTION_DAYS ago.\n`,
    ]);
    const asked = JSON.parse((await say("backfill", "--json", ...RANGE)).stdout) as Shown;
    expect((await say("runs", "undo", asked.run.id)).stderr).toContain("is planned. Cancel it first");
    const unknown = await say("runs", "undo", "5f0c4e1a-7c1e-4def-8123-456789abcdef");
    expect(unknown.code).toBe(1);
  });
});

test("--allow-shrink needs a reason, and then lets a final day shrink; without it the row is refused and listed", async () => {
  await world.insert(daysOfEvents("acme", "2026-03-01", 3, 2));
  await inline();
  await world.events.deleteMany({ prompt_tokens: { $lte: 2 } }); // both events of the first day
  const rows = await storedRows(world.pool);
  const refused = await say("rebuild", "--inline", ...RANGE);
  expect(refused.code).toBe(2);
  expect(refused.stdout).toMatch(/acme +2026-03-01 +fewer events +2 +0\n/);
  expect((await storedRows(world.pool)).get("acme|2026-03-01")).toEqual(rows.get("acme|2026-03-01"));
  const dry = await say("backfill", "--dry-run", "--json", ...RANGE);
  expect(shown(dry).forecasts).toMatchObject([{ outcome: "refused", after: { requests: "0" } }]);

  const silent = await inline("--allow-shrink");
  expect([silent.code, silent.stderr]).toEqual([
    1,
    "tallyman: --allow-shrink may make final totals smaller: say why with --reason, for the run's record.\n",
  ]);
  expect((await inline("--allow-shrink", "--reason", "deleted on request")).code).toBe(0);
  expect((await storedRows(world.pool)).get("acme|2026-03-01")).toMatchObject({ total_requests: "0", revision: "2" });
});
