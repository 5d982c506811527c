import { BSON, Long, ObjectId, type Document } from "mongodb";
import { describe, expect, test } from "vitest";
import { ArrivalFold } from "../../../src/db/mongo/arrivals.ts";
import { dayOf } from "../../support/civil-day.ts";
import { hostileEvents } from "../../support/hostile.ts";
import { HOSTILE_TENANTS, INVISIBLE_CREATED_AT, INVISIBLE_TENANTS, MISSING } from "../../support/hostile-ids.ts";
import { oracle } from "../../support/oracle.ts";
import { event, type SampleEvent } from "../../support/sample.ts";

const PLAIN = { tenant_id: "tenant_id", created_at: "created_at" };
const TODAY = "2026-03-10";

/** Events as a scan gets them: through BSON, and not promoted. */
function asRead(events: Iterable<SampleEvent>): Document[] {
  return Array.from(events, (document) =>
    BSON.deserialize(BSON.serialize(document), { promoteValues: false, validation: { utf8: false } }),
  );
}

function folded(events: Iterable<SampleEvent>, fields = PLAIN, timeZone = "UTC", today = TODAY) {
  const fold = new ArrivalFold(fields, timeZone, today);
  for (const document of asRead(events)) fold.add(document);
  const days = fold.days().map(({ tenant, date }) => `${tenant}|${date}`);
  expect(fold.size).toBe(days.length);
  expect(new Set(days).size).toBe(days.length);
  return { days: days.sort(), invisible: Object.fromEntries(fold.invisible) };
}

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, count) => total + count, 0);

describe("arrivals", () => {
  test.each(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])(
    "are folded into the tenant-days of the oracle, whatever the events hold (%s)",
    (timeZone) => {
      const now = new Date("2026-04-01T12:00:00Z");
      const events = [...hostileEvents({ seed: 11, from: "2026-03-28", days: 2, timeZone, perDay: 1_500 })];
      const expected = oracle(asRead(events), { timeZone, now });
      const { days, invisible } = folded(events, PLAIN, timeZone, dayOf(timeZone, now.getTime()));
      expect(days).toEqual([...expected.days.keys()].sort());
      expect(expected.invisible).toBeGreaterThan(100);
      expect(sum(invisible)).toBe(expected.invisible);
    },
  );

  test("of one tenant in every type of its id are one tenant-day", () => {
    const events = HOSTILE_TENANTS.flat().map((tenant_id) => event({ tenant_id }));
    expect(folded(events).days).toHaveLength(HOSTILE_TENANTS.length);
  });

  test("are told apart to the millisecond at the ends of a day, of the days that count, and at a change of clocks", () => {
    const at = (text: string) => event({ created_at: new Date(text) });
    expect(folded([at("2026-03-01T23:59:59.999Z"), at("2026-03-02T00:00:00Z")]).days).toEqual([
      "acme|2026-03-01",
      "acme|2026-03-02",
    ]);
    const edges = [
      "1999-12-31T23:59:59.999Z",
      "2000-01-01T00:00:00Z",
      "2026-03-11T23:59:59.999Z",
      "2026-03-12T00:00:00Z",
    ];
    expect(folded(edges.map(at))).toEqual({
      days: ["acme|2000-01-01", "acme|2026-03-11"],
      invisible: { dayOutOfRange: 2 },
    });
    const berlin = [
      "2026-03-28T22:59:59.999Z",
      "2026-03-28T23:00:00Z",
      "2026-03-29T21:59:59.999Z",
      "2026-03-29T22:00:00Z",
    ];
    expect(folded(berlin.map(at), PLAIN, "Europe/Berlin", "2026-04-01").days).toEqual([
      "acme|2026-03-28",
      "acme|2026-03-29",
      "acme|2026-03-30",
    ]);
  });

  test("that no rebuild can see count once, under the first reason", () => {
    const without = (field: "tenant_id" | "created_at", values: readonly unknown[]) =>
      values.map((value) => event({ [field]: value === MISSING ? undefined : value }));
    const tenants = folded(without("tenant_id", INVISIBLE_TENANTS));
    expect([tenants.days, sum(tenants.invisible)]).toEqual([[], INVISIBLE_TENANTS.length]);
    expect(tenants.invisible).toMatchObject({
      tenantMissing: 3,
      tenantEmpty: 1,
      tenantTooLong: 2,
      tenantHoldsNul: 2,
    });
    const times = folded(without("created_at", INVISIBLE_CREATED_AT));
    expect([times.days, sum(times.invisible)]).toEqual([[], INVISIBLE_CREATED_AT.length]);
    expect(times.invisible).toMatchObject({ createdAtMissing: 3, dayOutOfRange: 5 });
    expect(folded([event({ tenant_id: "", created_at: null })]).invisible).toEqual({ tenantEmpty: 1 });
  });

  test("are found under names with dots; an array on the way, or another type than a document, hides them", () => {
    const fields = { tenant_id: "meta.org.id", created_at: "meta.at" };
    const at = new Date("2026-03-01T12:00:00Z");
    const org = { id: Long.fromNumber(7) };
    const of = (meta: unknown, differs: SampleEvent = {}) => ({ meta, ...differs });
    expect(folded([of({ org, at })], fields)).toEqual({ days: ["7|2026-03-01"], invisible: {} });
    expect(
      folded(
        [
          of([{ org, at }]),
          of({ org: [org], at }),
          of({ org: { id: [7] }, at }),
          of({ org, at: [at] }),
          of({ org: "id", at }),
          of({ org: new ObjectId(), at }),
          of("meta"),
          of({ org }),
          { "meta.org.id": 7, "meta.at": at },
        ],
        fields,
      ),
    ).toEqual({ days: [], invisible: { tenantType: 3, tenantMissing: 4, createdAtType: 1, createdAtMissing: 1 } });
  });
});
