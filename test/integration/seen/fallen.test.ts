import { Decimal128 } from "mongodb";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FallenDay, Run } from "../../../src/db/postgres/runs/run.ts";
import { RECENT_DAYS } from "../../../src/db/postgres/runs/runs.ts";
import { stampAt } from "../../support/backends.ts";
import { cacheRow } from "../../support/cache-row.ts";
import { claimed, store } from "../../support/claimed.ts";
import { endProcesses, run, startWorker } from "../../support/process.ts";
import { event, sampleEvents } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld, useWorlds } from "../../support/world.ts";
import { doRun } from "../fencing/runs.ts";

const DAY = "2026-03-01";
const ONE = { from: DAY, to: DAY };
const RANGE = ["--from", DAY, "--to", DAY];

const world = useWorld("fallen");
const openWorld = useWorlds("settling");
beforeEach(() => world.reset());
afterEach(endProcesses);

const rebuild = (wish: object = {}) => doRun(world.services, { ...ONE, ...wish });
const fallenOf = async ({ id }: Run): Promise<FallenDay[]> => (await world.services.runs()).fallenDays(id);
const dollars = (count: number, cost: string) =>
  sampleEvents(count, (n) => ({ user_id: `${cost}-${n}`, cost: Decimal128.fromString(cost) }));

/** Ten events of $100; then six of them are gone, and six of a cent are there: ten as before. */
async function replaceSix(): Promise<void> {
  await world.insert(dollars(10, "100"));
  expect((await rebuild()).days).toMatchObject({ written: 1 });
  for (let n = 0; n < 6; n++) await world.events.deleteOne({ user_id: `100-${n}` });
  await world.insert(dollars(6, "0.01"));
}

describe("a final day whose cost fell and whose number of events did not", () => {
  test("is written, and listed by its run with the figures before and after", async () => {
    await replaceSix();
    const fell = await rebuild();
    expect(fell).toMatchObject({ state: "done", days: { written: 1, refused: 0 }, daysFell: 1 });
    expect(await fallenOf(fell)).toEqual([
      {
        tenant: "acme",
        date: DAY,
        fell: ["cost"],
        before: { requests: "10", tokens: "150", prompt: "100", completion: "50", cost: "1000" },
        after: { requests: "10", tokens: "150", prompt: "100", completion: "50", cost: "400.06" },
      },
    ]);
    expect((await storedRows(world.pool)).get(`acme|${DAY}`)).toMatchObject({ total_cost: "400.06", revision: "2" });
    const again = await rebuild();
    expect([again.daysFell, await fallenOf(again)]).toEqual([0, []]);
  });

  test("is marked by a dry run before, and shown by a watch, runs show, runs list and a metric after", async () => {
    await replaceSix();
    const dry = await run(world.env, "backfill", ...RANGE, "--dry-run");
    expect([dry.code, dry.stderr]).toEqual([2, ""]);
    expect(dry.stdout).toMatch(/^acme +2026-03-01 +changed, cost falls +10 +150 +1000 -> 400\.06$/m);
    expect(dry.stdout).toContain("\n1 final days would have lower tokens or cost than before, and no fewer events");
    const json = await run(world.env, "backfill", ...RANGE, "--dry-run", "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ forecasts: [{ outcome: "changed", fell: ["cost"] }] });

    const worker = await startWorker(world.env);
    const metric = async () =>
      /^tallyman_fallen_days (.*)$/m.exec(await (await fetch(`${worker.address}/metrics`)).text());
    expect((await metric())?.[1]).toBe("0");
    const watched = await run(world.env, "backfill", ...RANGE, "--watch");
    expect([watched.code, watched.stderr]).toEqual([0, ""]); // rule three has no say: the run did what it was asked for
    expect(watched.stdout).toMatch(
      /^fell {7}1 final days have lower tokens or cost than before, and no fewer events$/m,
    );
    expect(watched.stdout).toMatch(
      /\ntenant +day +fell in +requests +tokens +cost\nacme +2026-03-01 +cost +10 +150 +1000 -> 400\.06/,
    );
    const id = /^run +(\S+)$/m.exec(watched.stdout)?.[1] as string;
    const shown = await run(world.env, "runs", "show", id, "--json");
    expect(JSON.parse(shown.stdout)).toMatchObject({
      run: { daysFell: 1 },
      fallen: [{ tenant: "acme", fell: ["cost"] }],
    });
    expect((await run(world.env, "runs", "list")).stdout).toMatch(/ 1 fell$/m);
    expect((await metric())?.[1]).toBe("1");
    await world.pool.query("UPDATE usage_run SET created_at = created_at - make_interval(days => $1)", [RECENT_DAYS]);
    expect((await metric())?.[1]).toBe("0");
  });

  test.each(["nightly", "refresh", "repair"] as const)("is listed by a %s too", async (kind) => {
    await replaceSix();
    expect(await rebuild({ kind })).toMatchObject({ days: { written: 1 }, daysFell: 1 });
  });

  test.each([
    ["tokens", { total_tokens: 14 }],
    ["prompt", { prompt_tokens: 9, total_tokens: 15 }],
    ["completion", { completion_tokens: 4, total_tokens: 15 }],
    ["cost", { cost: Decimal128.fromString("0.000999999999999999") }],
    ["tokens,prompt,completion,cost", { prompt_tokens: "10", completion_tokens: NaN, cost: [1] }],
  ])("counts where %s alone is lower by the least", async (measures, differs) => {
    await world.insert(sampleEvents(3));
    await rebuild();
    await world.events.updateOne({}, { $set: differs });
    const [day] = await fallenOf(await rebuild());
    expect(day?.fell.join()).toBe(measures);
  });

  test("counts where one measure falls and another rises, with more events", async () => {
    await world.insert(sampleEvents(3));
    await rebuild();
    await world.events.updateOne({}, { $set: { cost: 0, prompt_tokens: 1_000 } });
    await world.insert([event({ cost: 0 })]);
    const made = await rebuild();
    expect((await fallenOf(made)).map(({ fell, after }) => [fell, after.requests])).toEqual([[["cost"], "4"]]);
  });

  test("counts beside a stored cost that no events could have", async () => {
    await world.insert(sampleEvents(1));
    await rebuild();
    for (const [stored, expected] of [
      ["NaN", 1],
      ["0.0010000000000000000001", 1],
      ["0.0009999999999999999999", 0],
    ] as const) {
      await world.pool.query("UPDATE daily_usage_cache SET total_cost = $1, content_hash = sha256('by hand')", [
        stored,
      ]);
      expect((await rebuild()).daysFell, stored).toBe(expected);
    }
  });
});

describe("not listed are", () => {
  test("a day that rises or is new, one that was allowed to shrink, and what an undo restores", async () => {
    await world.insert(dollars(3, "5"));
    expect(await rebuild()).toMatchObject({ days: { written: 1 }, daysFell: 0 });
    await world.insert(dollars(3, "7"));
    const risen = await rebuild();
    expect(risen).toMatchObject({ days: { written: 1 }, daysFell: 0 });
    const undone = await run(world.env, "runs", "undo", risen.id, "--json");
    expect(JSON.parse(undone.stdout)).toMatchObject({ run: { daysFell: 0, days: { written: 1 } }, fallen: [] });
    await rebuild();
    await world.events.deleteOne({ user_id: "7-1" });
    expect(await rebuild()).toMatchObject({ days: { refused: 1 }, daysFell: 0 });
    const allowed = await rebuild({ allowShrink: true, reason: "erased" });
    expect(allowed).toMatchObject({ days: { written: 1 }, daysFell: 0 });
  });

  test("a day that still settles: its figures may fall, as its events may", async () => {
    const patient = await openWorld({ SETTLE_HOURS: "8760" });
    await patient.insert(dollars(2, "5"));
    await doRun(patient.services, ONE);
    await patient.events.updateOne({}, { $set: { cost: 1 } });
    expect(await doRun(patient.services, ONE)).toMatchObject({ days: { written: 1 }, daysFell: 0 });
  });
});

test("a run counts every fallen day of all its chunks and lists them by tenant and day", async () => {
  const tenants = ["a", "b", "c"];
  const days = ["2026-03-01", "2026-03-02", "2026-03-03"];
  await world.insert(
    tenants.flatMap((tenant_id) =>
      days.map((day) => event({ tenant_id, cost: 2, created_at: new Date(`${day}T12:00:00Z`) })),
    ),
  );
  const range = { from: DAY, to: "2026-03-03" };
  await doRun(world.services, { ...ONE, ...range });
  await world.events.updateMany({}, { $set: { cost: 1 } });
  const made = await doRun(world.services, { ...ONE, ...range });
  expect(made.daysFell).toBe(9);
  const listed = (await fallenOf(made)).map(({ tenant, date }) => `${tenant} ${date}`);
  expect(listed).toEqual(tenants.flatMap((tenant) => days.map((day) => `${tenant} ${day}`)));
});

test("a chunk counts every fallen day and lists a thousand of them", async () => {
  const tenants = Array.from({ length: 1_100 }, (_, n) => `t${String(n).padStart(4, "0")}`);
  const spans = tenants.map((tenant) => ({ tenant, ...ONE }));
  const write = async (tokens: number) => {
    const readAt = await stampAt(world.pool);
    const claim = await claimed(world, spans);
    const rows = tenants.map((tenant) => cacheRow(tenant, DAY, tokens, readAt));
    await store(world, claim, rows.slice(0, 600), [], 600);
    await store(world, claim, rows.slice(600), [], tenants.length);
    return claim.runId;
  };
  await write(5);
  const id = await write(4);
  const runs = await world.services.runs();
  expect((await runs.get(id))?.daysFell).toBe(1_100);
  const listed = await runs.fallenDays(id);
  expect(listed).toHaveLength(1_000);
  expect(listed[0]).toMatchObject({ tenant: "t0000", fell: ["tokens", "prompt", "cost"] });
});
