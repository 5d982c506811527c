import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { aggregateDays } from "../../../src/jobs/aggregate-days.ts";
import { JOBS } from "../../../src/jobs/index.ts";
import { PAYLOAD_VERSION } from "../../../src/task/payload.ts";
import { restoreRows } from "../../../src/jobs/restore-rows.ts";
import { jobOccurrence, periodOccurrenceOf, occurrenceOf } from "../../../src/schedule/schedules.ts";
import { holds } from "../../support/property.ts";

const RUN_ID = "0190a5d2-7c1e-4def-8123-456789abcdef";

/** A payload of each job that is good. */
const GOOD: Record<string, Record<string, unknown>> = {
  "aggregate-days": { v: PAYLOAD_VERSION, runId: RUN_ID, chunk: 0 },
  "restore-rows": { v: PAYLOAD_VERSION, runId: RUN_ID, chunk: 7 },
  "plan-run": { v: PAYLOAD_VERSION, runId: RUN_ID },
};
const goodOf = (name: string) => GOOD[name] ?? { v: PAYLOAD_VERSION, slot: "2026-11-21T0215Z" };

/** For each field a pattern of all that may be good, in words of this test's own, and what is nearly good. */
const FIELDS: Record<string, { mayBeGood: (value: unknown) => boolean; near: readonly fc.JsonValue[] }> = {
  v: { mayBeGood: (value) => value === 1, near: [0, 2, -1, 1.5, "1", true, [1]] },
  runId: {
    mayBeGood: (value) => typeof value === "string" && /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value),
    near: [
      `${RUN_ID} `,
      `{${RUN_ID}}`,
      RUN_ID.replaceAll("-", ""),
      RUN_ID.slice(1),
      RUN_ID.replace("f", "g"),
      [RUN_ID],
    ],
  },
  chunk: {
    mayBeGood: (value) => typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31,
    near: [-1, 0.5, -5e-324, 2 ** 31, 2 ** 53, 1e308, "0", "", false, null, [0]],
  },
  slot: {
    mayBeGood: (value) => typeof value === "string" && /^\d{4}-\d\d-\d\dT\d{4}(\d\d)?Z$/.test(value),
    near: ["2026-11-21T02:15Z", "2026-11-21T0215", "2026-11-21T0215Z\n", "2026-11-21T02150Z", "-2026-11-21T0215Z", ""],
  },
};

/** A good payload with one of its fields spoilt or missing, or with one more. */
function spoilt(name: string): fc.Arbitrary<{ field: string; document: unknown }> {
  const good = goodOf(name);
  const fields = Object.keys(good).map((field) => {
    const { mayBeGood, near } = FIELDS[field] as (typeof FIELDS)[string];
    const value = fc.oneof(
      fc.jsonValue().filter((any) => !mayBeGood(any)),
      fc.constantFrom(...near),
    );
    const { [field]: _, ...rest } = good;
    return fc.oneof(
      { weight: 3, arbitrary: value.map((bad) => ({ field, document: { ...good, [field]: bad } })) },
      { weight: 1, arbitrary: fc.constant({ field, document: rest }) },
    );
  });
  const more = fc.tuple(fc.string(), fc.jsonValue()).map(([field, value]) => {
    return { field: "", document: { ...good, [`extra ${field}`]: value } };
  });
  return fc.oneof(...fields, more);
}

/** A JSON value, but no object of the version that is read. */
const foreign = fc.jsonValue().filter((value) => (value as { v?: unknown } | null)?.v !== 1);

describe.each(JOBS.map((job) => [job.name, job] as const))("the payload of %s", (name, job) => {
  const { payload } = job;
  test("is good as it is written, and makes an id that a queue takes", () => {
    const parsed = payload.parse(goodOf(name));
    expect(parsed).toEqual(goodOf(name));
    expect(job.id(parsed)).toMatch(/^[\w|-]+$/);
    expect(job.id(parsed)).toBe(job.id(payload.parse(goodOf(name))));
  });

  test("is refused whatever else it is, and the field is named", () => {
    holds(
      fc.property(spoilt(name), ({ field, document }) => {
        const { success, error } = payload.safeParse(document);
        expect(success).toBe(false);
        expect(error?.issues.map(({ path }) => path.join("."))).toContain(field);
      }),
      300,
    );
    holds(
      fc.property(foreign, (document) => {
        expect(payload.safeParse(document).success).toBe(false);
      }),
      300,
    );
  });
});

test.each([aggregateDays, restoreRows].map((job) => [job.name, job] as const))(
  "a chunk of %s that JSON text calls -0 is chunk 0, under its id",
  (_, job) => {
    const parsed = job.payload.parse(JSON.parse(`{"v":1,"runId":"${RUN_ID}","chunk":-0}`));
    expect(parsed.chunk).toBe(0); // which -0 is not
    expect(job.id(parsed)).toBe(job.id({ v: 1, runId: RUN_ID, chunk: 0 }));
  },
);

test("every occurrence that a schedule can have is a slot that its job takes", () => {
  const slots = JOBS.filter(({ name }) => !(name in GOOD));
  expect(slots.length).toBeGreaterThan(2);
  const instant = fc.date({ min: new Date("2000-01-01"), max: new Date("9998-01-01"), noInvalidDate: true });
  holds(
    fc.property(instant, (at) => {
      for (const slot of [occurrenceOf(at), periodOccurrenceOf(at)].map(jobOccurrence)) {
        for (const { payload } of slots) expect(payload.safeParse({ v: PAYLOAD_VERSION, slot }).success).toBe(true);
      }
    }),
    100,
  );
});
