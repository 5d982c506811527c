import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { History } from "../../../src/db/postgres/history.ts";
import { trimHistory } from "../../../src/jobs/trim-history.ts";
import type { JobContext } from "../../../src/task/context.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("history");
beforeEach(() => world.reset());

/** Runs the job as a worker would, with these settings. */
async function trim(historyDays = 400, undoDays = 14, signal = new AbortController().signal) {
  const history = new History(await world.services.rawPool(), { historyDays, undoDays });
  const context = { history, log: world.services.log, signal } as unknown as JobContext;
  return trimHistory.run({ v: 1, slot: "2026-11-21T0520Z" }, context);
}

const sql = async (text: string, values: unknown[] = []) =>
  (await world.pool.query<Record<string, unknown>>(text, values)).rows;

/** Changes whose ages, in days, are given in the order of their ids, which begin with 1. */
async function changes(ages: readonly number[]): Promise<void> {
  await sql(
    `INSERT INTO usage_change (run_id, tenant_id, date, revision, changed_at)
     SELECT gen_random_uuid(), 'a', '2026-03-01', 1, now() - make_interval(days => age)
       FROM unnest($1::int[]) WITH ORDINALITY AS u (age, n) ORDER BY n`,
    [ages],
  );
}

const read = async (after: number) =>
  (await sql("SELECT id FROM usage_changes($1)", [after])).map(({ id }) => Number(id));

async function run(
  name: string,
  {
    state = "done",
    ended,
    kind = "backfill",
    undoes,
  }: { state?: string; ended?: number; kind?: string; undoes?: string },
): Promise<string> {
  const id = randomUUID();
  await sql(
    `INSERT INTO usage_run (id, kind, requested_by, dedupe_key, settings_hash, from_date, to_date, state, undoes, created_at, finished_at)
     VALUES ($1::uuid, $2, $3, $1::text, '', '2026-03-01', '2026-03-01', $4, $5, now() - make_interval(days => coalesce($6::int, 900)),
             now() - make_interval(days => $6::int))`,
    [id, kind, name, state, undoes ?? null, ended ?? null],
  );
  await sql("INSERT INTO usage_chunk (run_id, number, payload, planned, state) VALUES ($1, 0, '[]', 1, 'done')", [id]);
  await sql(
    "INSERT INTO usage_undo (run_id, tenant_id, date) SELECT $1, 'a', '2026-03-01'::date + n FROM generate_series(1, 3) n",
    [id],
  );
  return id;
}

/** The runs that are left, with how many chunks and rows to undo. */
const runsLeft = async () =>
  (
    await sql(
      `SELECT requested_by AS name, (SELECT count(*) FROM usage_chunk WHERE run_id = r.id) AS chunks,
              (SELECT count(*) FROM usage_undo WHERE run_id = r.id) AS undo
         FROM usage_run r ORDER BY 1`,
    )
  ).map(({ name, chunks, undo }) => `${String(name)} ${String(chunks)} ${String(undo)}`);

describe("changes", () => {
  test("go when they are older than the history; a cursor that is not below the last of them goes on", async () => {
    await changes([410, 401, 401, 399, 1]);
    expect(await read(0)).toEqual([1, 2, 3, 4, 5]);
    expect(await trim()).toMatchObject({ changes: 3 });
    expect(await read(3)).toEqual([4, 5]);
    expect(await read(4)).toEqual([5]);
    for (const cursor of [2, 1, 0, -1]) {
      await expect(read(cursor)).rejects.toMatchObject({
        code: "22000",
        message: `the changes after ${cursor} are not all there: those up to 3 were removed`,
        hint: "Ask usage_changes_end() for a cursor, take a copy of daily_usage_cache, and page on from the cursor.",
      });
    }
    expect(await trim()).toMatchObject({ changes: 0 });
    expect(await read(3)).toEqual([4, 5]);
  });

  test("go only from the lowest id on, whatever a clock said", async () => {
    await changes([410, 300, 410, 410]);
    expect(await trim()).toMatchObject({ changes: 1 });
    expect(await read(1)).toEqual([2, 3, 4]);
    await sql("DELETE FROM usage_change");
    await changes([300, 410]);
    expect(await trim()).toMatchObject({ changes: 0 });
    expect(await read(1)).toEqual([5, 6]);
  });

  test("stay known by their last id when all of them were removed", async () => {
    await changes(Array<number>(25_000).fill(401)); // more than a batch
    expect(await trim()).toMatchObject({ changes: 25_000 });
    await expect(read(0)).rejects.toThrow("up to 25000 were removed");
    await expect(read(24_999)).rejects.toThrow("up to 25000 were removed");
    expect(await read(25_000)).toEqual([]);
    await changes([1]);
    expect(await read(25_000)).toEqual([25_001]);
  });

  test("stay, and nobody's cursor is too old, while nothing is older than the history", async () => {
    await changes([399, 1]);
    expect(await trim()).toMatchObject({ changes: 0 });
    expect(await read(0)).toEqual([1, 2]);
    expect(await sql("SELECT FROM usage_meta")).toEqual([]);
  });
});

describe("runs", () => {
  test("go with their chunks when they ended before the history, and lose what an undo needs before that", async () => {
    for (const state of ["done", "failed", "cancelled"]) {
      await run(`old ${state}`, { state, ended: 401 });
      await run(`recent ${state}`, { state, ended: 399 });
      await run(`undoable ${state}`, { state, ended: 13 });
    }
    await run("planned", { state: "planned" });
    await run("running", { state: "running" });
    expect(await trim()).toMatchObject({ runs: 3, undo: 18 });
    expect(await runsLeft()).toEqual([
      "planned 1 3",
      "recent cancelled 1 0",
      "recent done 1 0",
      "recent failed 1 0",
      "running 1 3",
      "undoable cancelled 1 3",
      "undoable done 1 3",
      "undoable failed 1 3",
    ]);
  });

  test("that are being undone stay whole until the undo has ended", async () => {
    const id = await run("old", { ended: 401 });
    const undo = await run("undo", { kind: "undo", state: "running", undoes: id });
    expect(await trim()).toMatchObject({ runs: 0, undo: 0 });
    await sql("UPDATE usage_run SET state = 'done', finished_at = now() WHERE id = $1", [undo]);
    expect(await trim()).toMatchObject({ runs: 1, undo: 3 });
    expect(await runsLeft()).toEqual(["undo 1 3"]);
  });

  test("of the night all go but the newest, without which its occurrence would run again", async () => {
    await run("older night", { kind: "nightly", ended: 402 });
    await run("last night", { kind: "nightly", ended: 401 });
    expect(await trim()).toMatchObject({ runs: 1 });
    expect(await runsLeft()).toEqual(["last night 1 0"]);
  });

  test("take no rows to undo with them that would be kept for longer", async () => {
    await run("old", { ended: 11 });
    expect(await trim(10, 30)).toMatchObject({ runs: 1, undo: 3 });
  });
});

test("audits go with the history", async () => {
  for (const age of [401, 399]) {
    await sql(
      `INSERT INTO usage_audit (requested_by, from_date, to_date, started_at, finished_at, days_checked, days_deep, days_equal,
                                days_pending, days_drifted, days_missing, days_skipped, days_failed, drift)
       VALUES ('test', '2026-03-01', '2026-03-01', now(), now() - make_interval(days => $1), 0, 0, 0, 0, 0, 0, 0, 0, '[]')`,
      [age],
    );
  }
  expect(await trim()).toEqual({ changes: 0, runs: 0, undo: 0, audits: 1, malformed: 0 });
});

test("an abort ends the removal of old changes between two batches", async () => {
  await changes([401]);
  await expect(trim(400, 14, AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
  expect(await read(0)).toEqual([1]);
});
