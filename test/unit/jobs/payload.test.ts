import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JOBS } from "../../../src/jobs/index.ts";
import { PAYLOAD_VERSION } from "../../../src/jobs/job.ts";
import { jobSlot, periodSlotOf, slotOf } from "../../../src/schedule/schedules.ts";

const RUN_ID = "0190a5d2-7c1e-4def-8123-456789abcdef";

/** A payload of each job that is good. */
const GOOD: Record<string, Record<string, unknown>> = {
  "aggregate-days": { v: PAYLOAD_VERSION, runId: RUN_ID, chunk: 0 },
  "restore-rows": { v: PAYLOAD_VERSION, runId: RUN_ID, chunk: 7 },
  "rebuild-range": { v: PAYLOAD_VERSION, runId: RUN_ID },
};
const goodOf = (name: string) => GOOD[name] ?? { v: PAYLOAD_VERSION, slot: "2026-11-21T0215Z" };

describe.each(JOBS.map((job) => [job.name, job] as const))("the payload of %s", (name, job) => {
  const { payload } = job;
  test("is good as it is written, and makes an id that a queue takes", () => {
    const parsed = payload.parse(goodOf(name));
    expect(parsed).toEqual(goodOf(name));
    expect(job.id(parsed)).toMatch(/^[\w|-]+$/);
    expect(job.id(parsed)).toBe(job.id(payload.parse(goodOf(name))));
  });

  test("is refused whatever else it is, and the field is named", () => {
    const good = goodOf(name);
    const fields = Object.keys(good);
    const spoilt = fc.oneof(
      fc.record({ field: fc.constantFrom(...fields), value: fc.jsonValue() }).map(({ field, value }) => {
        return { field, document: { ...good, [field]: value } };
      }),
      fc.constantFrom(...fields).map((field) => {
        return { field, document: Object.fromEntries(Object.entries(good).filter(([key]) => key !== field)) };
      }),
      fc.tuple(fc.string(), fc.jsonValue()).map(([field, value]) => {
        return { field: "", document: { ...good, [`extra ${field}`]: value } };
      }),
    );
    fc.assert(
      fc.property(spoilt, ({ field, document }) => {
        const result = payload.safeParse(document);
        if (result.success) return expect(isGood(name, document)).toBe(true);
        expect(result.error.issues.map(({ path }) => path.join("."))).toContain(field);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.jsonValue(), (document) => {
        expect(payload.safeParse(document).success).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});

/** The rule in words of this test's own: what a spoilt field happened to be good for. */
function isGood(name: string, document: Record<string, unknown>): boolean {
  const { v, runId, chunk, slot } = document;
  const names = Object.keys(document).sort().join();
  if (v !== 1 || names !== Object.keys(goodOf(name)).sort().join()) return false;
  if (runId !== undefined && runId !== RUN_ID) return false;
  if (chunk !== undefined && !(Number.isInteger(chunk) && Number(chunk) >= 0 && Number(chunk) < 2 ** 31)) return false;
  return slot === undefined || slot === "2026-11-21T0215Z";
}

test("every slot that a schedule can have is one that its job takes", () => {
  const slots = JOBS.filter(({ name }) => !(name in GOOD));
  expect(slots.length).toBeGreaterThan(2);
  const instant = fc.date({ min: new Date("2000-01-01"), max: new Date("9998-01-01"), noInvalidDate: true });
  fc.assert(
    fc.property(instant, (at) => {
      for (const slot of [slotOf(at), periodSlotOf(at)].map(jobSlot)) {
        for (const { payload } of slots) expect(payload.safeParse({ v: PAYLOAD_VERSION, slot }).success).toBe(true);
      }
    }),
    { numRuns: 100 },
  );
});
