import { BSONSymbol, Decimal128, Double, ObjectId } from "mongodb";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeMalformed, malformedPipeline, type MalformedGroup } from "../../../src/db/mongo/malformed.ts";
import { malformedNow, replaceMalformed } from "../../../src/db/postgres/cache/malformed.ts";
import { lockRows, upsertRows } from "../../../src/db/postgres/cache/rows.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { trimHistory } from "../../../src/jobs/trim-history.ts";
import type { MalformedPlace } from "../../../src/usage/malformed.ts";
import { lockWaiters, stampAt } from "../../support/backends.ts";
import { cacheRow } from "../../support/cache-row.ts";
import { addDays } from "../../support/civil-day.ts";
import { claimed, store } from "../../support/claimed.ts";
import { hostileEvents } from "../../support/hostile.ts";
import { ABSENT, ARRAY_USERS, MISSING, MODELS, USERS } from "../../support/hostile-ids.ts";
import { COSTS, TOKENS } from "../../support/hostile-measures.ts";
import { jobContext } from "../../support/job-context.ts";
import { oracle } from "../../support/oracle.ts";
import { endProcesses, run } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld, useWorlds, type World } from "../../support/world.ts";
import { doRun } from "../fencing/runs.ts";
import { tableDifferences } from "../fencing/table.ts";

const DAY = "2026-03-01";
const ONE = { from: DAY, to: DAY };
const NOON = new Date(`${DAY}T12:00:00Z`);

const world = useWorld("malformed");
const openWorld = useWorlds("mapped");
beforeEach(() => world.reset());
afterEach(endProcesses);

const rebuild = (wish: object = {}) => doRun(world.services, { ...ONE, ...wish });
const placesOf = async ({ id }: Run, { services } = world): Promise<MalformedPlace[]> =>
  (await services.runs()).malformedPlaces(id);
const now = ({ pool } = world) => malformedNow(pool, 1_000);
const short = (places: readonly MalformedPlace[]) =>
  places.map(({ tenant, field, reason, found, events }) => [tenant, field, reason, found, events].join(" ")).sort();

/** How many malformed values of each field the server finds in a day. */
async function locatedIn({ events, config }: World, tenant: string): Promise<Record<string, number>> {
  const range = { tenant, start: NOON.getTime() - 43_200_000, end: NOON.getTime() + 43_200_000 };
  const groups = await events.aggregate<MalformedGroup>(malformedPipeline(range, config.eventsFields)).toArray();
  const counts: Record<string, number> = {};
  for (const { field, events: n } of decodeMalformed(groups)) counts[field] = (counts[field] ?? 0) + n;
  return counts;
}

describe("the malformed fields of a day", () => {
  test("are told by field, reason and type, with the _id of one event", async () => {
    const _id = new ObjectId("65f0c0ffee65f0c0ffee65f0");
    await world.insert([
      event({ _id, cost: "0,5" }),
      event({ cost: new Double(NaN), prompt_tokens: -1 }),
      event({ cost: Decimal128.fromString("NaN") }),
      event({ cost: Decimal128.fromString("9.999999999999999999999999999999999E+6144") }),
      event({ cost: -Infinity }),
      event({ cost: Infinity, completion_tokens: 0.5, total_tokens: Decimal128.fromString("1.5") }),
      event({ user_id: { id: 1 }, model: ["gpt"], provider: 7 }),
      event({ user_id: 1.5, model: new BSONSymbol("gpt") }),
      event(),
    ]);
    const made = await rebuild();
    expect(made).toMatchObject({ malformedEvents: 8, days: { written: 1 } });
    const places = await placesOf(made);
    expect(short(places)).toEqual([
      "acme completion_tokens fraction double 1",
      expect.stringMatching(/^acme cost negative double 1$/),
      expect.stringMatching(/^acme cost notANumber (double|decimal) 2$/),
      expect.stringMatching(/^acme cost tooLarge (double|decimal) 2$/),
      "acme cost wrongType string 1",
      expect.stringMatching(/^acme model wrongType (array|symbol) 2$/),
      "acme prompt_tokens negative int 1",
      "acme provider wrongType int 1",
      "acme total_tokens fraction decimal 1",
      expect.stringMatching(/^acme user_id wrongType (object|double) 2$/),
    ]);
    expect(places.find(({ field, reason }) => field === "cost" && reason === "wrongType")).toEqual({
      tenant: "acme",
      field: "cost",
      reason: "wrongType",
      found: "string",
      events: 1,
      days: 1,
      lastDay: DAY,
      sampleId: 'ObjectId("65f0c0ffee65f0c0ffee65f0")',
    });
    expect(short(await now())).toEqual(short(places));
  });

  test("are those that the oracle takes for malformed, field by field, for every hostile value", async () => {
    const values: Readonly<Record<string, readonly unknown[]>> = {
      prompt_tokens: TOKENS,
      completion_tokens: TOKENS,
      total_tokens: TOKENS,
      cost: COSTS,
      user_id: [...USERS, ...ARRAY_USERS, ...ABSENT],
      model: [...MODELS, ...ABSENT],
      provider: [...MODELS, ...ABSENT],
    };
    for (const [field, each] of Object.entries(values)) {
      const events = each.map((value) => {
        const { [field]: _, ...rest } = event({ tenant_id: field });
        return value === MISSING ? rest : { ...rest, [field]: value };
      });
      await world.insert(events);
      const expected = oracle(events, { timeZone: "UTC", now: new Date() }).days.get(`${field}|${DAY}`)?.malformed;
      expect(Number(expected), field).toBeGreaterThan(3);
      expect(await locatedIn(world, field), field).toEqual({ [field]: Number(expected) });
    }
  });

  test.each(["UTC", "America/Los_Angeles"])(
    "of hostile tenants in %s are found for each row with malformed events, and for no other",
    async (timeZone) => {
      const hostile = await openWorld({ USAGE_TIMEZONE: timeZone });
      const events = [...hostileEvents({ seed: 11, from: DAY, days: 2, timeZone, perDay: 800 })];
      await hostile.insert(events);
      const made = await doRun(hostile.services, { from: DAY, to: addDays(DAY, 1) });
      expect(made.state).toBe("done");
      const { rows } = await hostile.pool.query<{
        tenant_id: string;
        date: string;
        n: number;
        most: number;
        malformed: number;
      }>(
        `SELECT c.tenant_id, c.date::text, count(m.field)::int AS n, max(m.events)::int AS most, c.malformed_events::int AS malformed
           FROM daily_usage_cache c LEFT JOIN usage_malformed m
             ON m.tenant_id = c.tenant_id AND m.date = c.date AND m.content_hash = c.content_hash
          GROUP BY c.tenant_id, c.date, c.malformed_events`,
      );
      expect(rows.filter(({ malformed }) => malformed > 0).length).toBeGreaterThan(10);
      for (const { n, most, malformed, ...day } of rows) {
        expect(n > 0, JSON.stringify(day)).toBe(malformed > 0);
        expect(most ?? 0, JSON.stringify(day)).toBeLessThanOrEqual(malformed);
      }
      const { rows: unknown } = await hostile.pool.query("SELECT 1 FROM usage_malformed WHERE reason = 'notExamined'");
      expect(unknown).toEqual([]);
    },
  );

  test("are found under the names that EVENTS_FIELDS gives, nested ones too", async () => {
    const mapped = await openWorld({ EVENTS_FIELDS: '{"cost":"usage.usd","model":"llm.name"}' });
    const { cost: _, model: __, ...rest } = event();
    await mapped.insert([
      { ...rest, usage: { usd: 1 }, llm: { name: "a" } },
      { ...rest, usage: { usd: "1" }, llm: [{ name: "a" }] },
      { ...rest, usage: [{ usd: 1 }], llm: { name: null } },
      { ...rest, usage: 5, llm: {} },
    ]);
    const made = await doRun(mapped.services, ONE);
    expect(made.malformedEvents).toBe(2);
    expect((await placesOf(made, mapped)).map(({ field, reason, events }) => [field, reason, events])).toEqual([
      ["cost", "wrongType", 2],
      ["model", "wrongType", 1],
    ]);
  });
});

describe("the row of a day", () => {
  test("and its hash are what the oracle says, wherever its fields are malformed", async () => {
    const events = [event({ cost: "x", user_id: 1.5 }), event(), event({ prompt_tokens: 0.5 })];
    await world.insert(events);
    await rebuild();
    expect(await tableDifferences(world, events)).toEqual([]);
    expect((await storedRows(world.pool)).get(`acme|${DAY}`)).toMatchObject({ malformed_events: "2", revision: "1" });
  });

  test("is not examined again while its content is the same, and runs list its fields all the same", async () => {
    await world.insert([event({ cost: "x" })]);
    await rebuild();
    const mark = () => world.pool.query("UPDATE usage_malformed SET sample_id = 'stored'");
    await mark();
    const again = await rebuild();
    expect(again.days).toMatchObject({ unchanged: 1 });
    expect((await now()).map(({ sampleId }) => sampleId)).toEqual(["stored"]);
    expect((await placesOf(again)).map(({ sampleId }) => sampleId)).toEqual(["stored"]);
    await world.insert([event({ model: { a: 1 } })]);
    expect((await rebuild()).days).toMatchObject({ written: 1 });
    expect(short(await now())).toEqual(["acme cost wrongType string 1", "acme model wrongType object 1"]);
    expect((await now()).map(({ sampleId }) => sampleId)).not.toContain("stored");
  });

  test("whose fields were not examined is examined by the next rebuild, though it is unchanged", async () => {
    await world.insert([event({ cost: "x" })]);
    await rebuild();
    await world.pool.query(
      "UPDATE usage_malformed SET field = 'unknown', reason = 'notExamined', found = '', sample_id = NULL",
    );
    expect(await rebuild()).toMatchObject({ days: { unchanged: 1 } });
    expect(short(await now())).toEqual(["acme cost wrongType string 1"]);
  });

  test("has no malformed field any more when a later rebuild finds its events fixed", async () => {
    await world.insert([event({ cost: "x" }), event({ cost: "y", tenant_id: "other" })]);
    await rebuild();
    expect(short(await now())).toEqual(["acme cost wrongType string 1", "other cost wrongType string 1"]);
    await world.events.updateMany({ tenant_id: "acme" }, { $set: { cost: 3 } });
    const fixed = await rebuild();
    expect(short(await now())).toEqual(["other cost wrongType string 1"]);
    expect(short(await placesOf(fixed))).toEqual(["other cost wrongType string 1"]);
  });

  test("keeps its malformed fields while a rebuild of it is refused", async () => {
    await world.insert([event({ cost: "x" }), event()]);
    await rebuild();
    await world.events.deleteOne({ cost: "x" });
    expect((await rebuild()).days).toMatchObject({ refused: 1 });
    expect(short(await now())).toEqual(["acme cost wrongType string 1"]);
  });

  test("that an undo restores is not examined until its next rebuild, and that it removes is gone", async () => {
    await world.insert([event({ cost: "x" })]);
    const first = await rebuild();
    await world.events.updateOne({}, { $set: { cost: 1 } });
    const second = await rebuild();
    expect(await now()).toEqual([]);
    expect((await run(world.env, "runs", "undo", second.id)).code).toBe(0);
    expect(short(await now())).toEqual(["acme unknown notExamined  1"]);
    await world.events.updateOne({}, { $set: { cost: "x" } });
    await rebuild();
    expect(short(await now())).toEqual(["acme cost wrongType string 1"]);
    await world.empty("daily_usage_cache");
    await world.events.updateOne({}, { $set: { cost: "y" } });
    const third = await rebuild();
    expect((await run(world.env, "runs", "undo", third.id)).code).toBe(0);
    expect(await now()).toEqual([]);
    expect(first.malformedEvents).toBe(1);
  });

  test("that a worker of another version wrote meanwhile keeps no field of its former content", async () => {
    await world.insert([event({ cost: "x" })]);
    await rebuild();
    await world.events.updateOne({}, { $set: { cost: 1 } });
    // the version before this one knows no malformed fields and leaves them
    const entries = await world.pool.query<Record<string, unknown>>("SELECT * FROM usage_malformed");
    await rebuild();
    expect(await now()).toEqual([]);
    const [entry] = entries.rows;
    await world.pool.query(
      "INSERT INTO usage_malformed SELECT * FROM jsonb_populate_record(NULL::usage_malformed, $1)",
      [
        JSON.stringify({
          ...entry,
          date: DAY,
          content_hash: `\\x${(entry?.["content_hash"] as Buffer).toString("hex")}`,
        }),
      ],
    );
    expect(await now()).toHaveLength(1);
    expect((await rebuild()).days).toMatchObject({ unchanged: 1 });
    expect(await now()).toEqual([]);
  });

  test("that somebody deletes leaves no field for its successor, and none for ever", async () => {
    await world.insert([event({ cost: "x" }), event({ cost: "x", tenant_id: "gone" })]);
    await rebuild();
    await world.empty("daily_usage_cache");
    await world.events.updateOne({ tenant_id: "acme" }, { $set: { cost: 1, model: 5 } });
    await world.events.deleteOne({ tenant_id: "gone" });
    await rebuild();
    expect(short(await now())).toEqual(["acme model wrongType int 1", "gone cost wrongType string 1"]);
    const context = await jobContext(world.services);
    expect(await trimHistory.run({ v: 1, slot: "2026-11-21T0520Z" }, context)).toMatchObject({ malformed: 1 });
    expect(short(await now())).toEqual(["acme model wrongType int 1"]);
  });

  test("which two rebuilds write at once has the malformed fields of the rebuild whose row is stored", async () => {
    await world.insert([event({ cost: "x" })]);
    await rebuild();
    const readAt = { older: await stampAt(world.pool, "-1 minute"), newer: await stampAt(world.pool) };
    await world.empty("daily_usage_cache", "usage_malformed");
    const claim = await claimed(world, [{ tenant: "acme", ...ONE }]);
    const other = await claimed(world, [{ tenant: "acme", ...ONE }]);
    const clean = cacheRow("acme", DAY, 1, readAt.newer);
    const bad = { ...cacheRow("acme", DAY, 2, readAt.older), malformed: 1 };
    const client = await world.pool.connect();
    try {
      await client.query("BEGIN");
      await client.query("SELECT 1 FROM usage_chunk WHERE run_id = $1 FOR UPDATE", [claim.runId]); // holds the clean one
      const waiting = store(world, claim, [clean], [], 1);
      await lockWaiters(world.pool, 1);
      await store(world, other, [bad], [], 1);
      expect(short(await now())).toEqual(["acme unknown notExamined  1"]);
      await client.query("COMMIT");
      expect(await waiting).toMatchObject({ written: 1 });
    } finally {
      client.release();
    }
    expect(await now()).toEqual([]);
  });

  test("keeps no field where its lock was waited for while another rebuild stored them", async () => {
    await world.insert([event()]);
    await rebuild();
    const older = await stampAt(world.pool);
    const readAt = { older, newer: await stampAt(world.pool) };
    const claim = await claimed(world, [{ tenant: "acme", ...ONE }]);
    const client = await world.pool.connect();
    try {
      await client.query("BEGIN");
      const bad = { ...cacheRow("acme", DAY, 2, readAt.older), malformed: 1 };
      await lockRows(client, [bad]);
      await upsertRows(client, [bad]);
      await replaceMalformed(client, { written: [bad], unchanged: [] }, new Map(), new Map());
      const waiting = store(world, claim, [cacheRow("acme", DAY, 3, readAt.newer)], [], 1);
      await lockWaiters(world.pool, 1);
      await client.query("COMMIT");
      expect(await waiting).toEqual({ written: 1, unchanged: 0, stale: 0, refused: 0, failed: 0 });
    } finally {
      client.release();
    }
    expect(await now()).toEqual([]);
  });
});
