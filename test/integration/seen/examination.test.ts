import { Long } from "mongodb";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { malformedNow } from "../../../src/db/postgres/cache/malformed.ts";
import { EXAMINED_EVENTS, locateMalformed } from "../../../src/rebuild/locate-malformed.ts";
import { readTenantDay } from "../../../src/rebuild/read-tenant-day.ts";
import type { MalformedPlace } from "../../../src/usage/malformed.ts";
import { dayStart } from "../../support/civil-day.ts";
import { claimed, store } from "../../support/claimed.ts";
import { jobContext } from "../../support/job-context.ts";
import { endProcesses, run, startWorker } from "../../support/process.ts";
import { event, sampleEvents } from "../../support/sample.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-03-01";

const world = useWorld("examination");
beforeEach(() => world.reset());
afterEach(endProcesses);

const now = () => malformedNow(world.pool, 1_000);
const short = (places: readonly MalformedPlace[]) =>
  places.map(({ tenant, field, reason, found, events }) => [tenant, field, reason, found, events].join(" ")).sort();

describe("the examination", () => {
  const allOf = async (dates: readonly string[]) => {
    const context = await jobContext(world.services);
    const rows = [];
    for (const date of dates) rows.push(await readTenantDay({ tenant: "acme", date }, "bulk", context));
    return { context, rows };
  };

  test("reads no more events again than a chunk may, but one day in any case", async () => {
    const days = [DAY, "2026-03-02", "2026-03-03"];
    await world.insert(
      days.flatMap((day) => sampleEvents(2, () => ({ cost: "x", created_at: new Date(dayStart("UTC", day) + 1) }))),
    );
    const { context, rows } = await allOf(days);
    const locatedAfter = async (events: number) => {
      const examined = { events };
      const located = await locateMalformed(rows, "bulk", context, examined);
      return [[...located.keys()].map((key) => key.split("\0")[1]), examined.events - events];
    };
    expect(await locatedAfter(0)).toEqual([days, 6]);
    expect(await locatedAfter(EXAMINED_EVENTS - 6)).toEqual([days, 6]);
    expect(await locatedAfter(EXAMINED_EVENTS - 5)).toEqual([days.slice(0, 2), 4]);
    expect(await locatedAfter(EXAMINED_EVENTS)).toEqual([[], 0]);
    const [huge] = rows.map((row) => ({ ...row, totals: { ...row.totals, requests: EXAMINED_EVENTS + 1 } }));
    expect((await locateMalformed(huge ? [huge] : [], "bulk", context, { events: 0 })).size).toBe(1);
  });

  test("that the server gives up leaves the day with its number alone, and no run fails", async () => {
    await world.insert(sampleEvents(20_000, () => ({ cost: "x" })));
    const { context, rows } = await allOf([DAY]);
    const bounds = { start: dayStart("UTC", DAY), end: dayStart("UTC", "2026-03-02") };
    const options = { maxTimeMs: 1, signal: new AbortController().signal };
    expect(await context.events.locateMalformed("acme", bounds, options)).toBeUndefined();
    const claim = await claimed(world, [{ tenant: "acme", from: DAY, to: DAY }]);
    await store(world, claim, rows, [], 1); // without fields for the row
    expect(short(await now())).toEqual(["acme unknown notExamined  20000"]);
    expect(await (await world.services.runs()).malformedPlaces(claim.runId)).toMatchObject([
      { field: "unknown", reason: "notExamined", events: 20_000, days: 1, sampleId: null },
    ]);
  });
});

describe("the commands", () => {
  test("show where events are malformed: runs show, status and a gauge, until it is fixed", async () => {
    const days = [DAY, "2026-03-02", "2026-03-03"];
    await world.insert([
      ...days.map((day, n) =>
        event({
          _id: `e${n}`,
          cost: `${n},5`,
          created_at: new Date(`${day}T12:00:00Z`),
          model: n === 0 ? { a: 1 } : "m",
        }),
      ),
      ...sampleEvents(2, () => ({ tenant_id: "other", prompt_tokens: Long.fromString("-5") })),
      ...sampleEvents(2, () => ({ tenant_id: "fine" })),
    ]);
    const range = ["--from", DAY, "--to", "2026-03-03"];
    const ended = await run(world.env, "rebuild", "--inline", ...range);
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    expect(ended.stdout).toMatch(
      /\ntenant +malformed +because it is +events +days +last day +for example _id\nacme +cost +of a wrong type \(string\) +3 +3 +2026-03-03 +"e\d"\nother +prompt_tokens +negative \(long\) +2 +1 +2026-03-01 +ObjectId\("[\da-f]{24}"\)\nacme +model +of a wrong type \(object\) +1 +1 +2026-03-01 +"e0"\n$/,
    );
    const worker = await startWorker(world.env);
    const gauge = async () =>
      (await (await fetch(`${worker.address}/metrics`)).text()).match(/^tallyman_malformed_events.*$/gm) ?? [];
    expect((await gauge()).sort()).toEqual([
      'tallyman_malformed_events{field="cost",reason="wrongType"} 3',
      'tallyman_malformed_events{field="model",reason="wrongType"} 1',
      'tallyman_malformed_events{field="prompt_tokens",reason="negative"} 2',
    ]);
    const status = await run(world.env, "status");
    expect(status.stdout).toContain("\nMalformed events in the rows as they are now:\ntenant ");
    const json = await run(world.env, "status", "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      malformed: [
        {
          tenant: "acme",
          field: "cost",
          reason: "wrongType",
          found: "string",
          events: 3,
          days: 3,
          lastDay: "2026-03-03",
        },
        { tenant: "other", field: "prompt_tokens", reason: "negative", found: "long", events: 2, days: 1 },
        { tenant: "acme", field: "model", events: 1 },
      ],
    });
    await world.events.updateMany({}, { $set: { cost: 1, model: "m", prompt_tokens: 1 } });
    expect((await run(world.env, "backfill", ...range, "--watch")).code).toBe(0);
    expect((await run(world.env, "status")).stdout).not.toContain("Malformed");
  });
});
