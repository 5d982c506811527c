import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  classify,
  dayState,
  type DayState,
  type FreshDay,
  FUTURE_STAMP_MS,
  isFutureStamp,
  stampMillis,
  type Stamp,
} from "../../../src/usage/classify.ts";

const hash = (content: number) => Buffer.from([content]);
const at = (readAt: Stamp, content: number, sourceEvents = 1, state: DayState = "final"): FreshDay => {
  return { readAt, contentHash: hash(content), sourceEvents, state, isBeforeHorizon: false };
};
/** Microseconds after noon. */
const stamp = (micros: number): Stamp =>
  `${new Date(Date.UTC(2026, 2, 1, 12) + Math.floor(micros / 1_000)).toISOString().slice(0, 23)}${String(micros % 1_000).padStart(3, "0")}Z`;

const EARLIER = "2026-03-01T12:00:00.000001Z";
const LATER = "2026-03-01T12:00:00.000002Z";
const NOW = "2026-03-01T12:00:01.000000Z";
/** More than five minutes after NOW. */
const FAULTY = "2026-03-01T12:05:01.001000Z";

describe("classify", () => {
  test.each([
    ["no row", undefined, at(LATER, 1), "new"],
    ["an older row of the same content", at(EARLIER, 1), at(LATER, 1), "unchanged"],
    ["an older row of other content", at(EARLIER, 1), at(LATER, 2), "changed"],
    ["a row of the same stamp and content", at(LATER, 1), at(LATER, 1), "unchanged"],
    ["a row of the same stamp and other content", at(LATER, 1), at(LATER, 2), "changed"],
    ["a row newer by a microsecond", at(LATER, 1), at(EARLIER, 2), "stale"],
    ["a newer row of the same content", at(LATER, 1), at(EARLIER, 1), "stale"],
    ["a row five minutes ahead of the clock", at("2026-03-01T12:05:01.000999Z", 1), at(LATER, 2), "stale"],
    ["a row further ahead", at(FAULTY, 1), at(LATER, 2), "changed"],
    ["a row further ahead, of the same content", at(FAULTY, 1), at(LATER, 1), "unchanged"],
  ] as const)("%s", (_, stored, fresh, outcome) => {
    expect(classify(stored, fresh, NOW)).toBe(outcome);
  });

  /** Few stamps close together, each with one content, and contents that come again. */
  const reads = fc.uniqueArray(
    fc.record({ micros: fc.integer({ min: 0, max: 3_000 }), content: fc.integer({ min: 0, max: 2 }) }),
    { selector: ({ micros }) => micros, minLength: 1, maxLength: 8 },
  );

  test("whatever the order and however often reads are written, the content of the last read stays", () => {
    const replay = reads.chain((set) =>
      fc.record({
        set: fc.constant(set),
        order: fc
          .array(fc.constantFrom(...set), { maxLength: 8 })
          .chain((again) => fc.shuffledSubarray([...set, ...again], { minLength: set.length + again.length })),
      }),
    );
    fc.assert(
      fc.property(replay, ({ set, order }) => {
        let stored: ReturnType<typeof at> | undefined;
        for (const { micros, content } of order) {
          const fresh = at(stamp(micros), content);
          const outcome = classify(stored, fresh, stamp(3_000));
          if (outcome === "new" || outcome === "changed") stored = fresh;
          if (outcome === "unchanged" && stored) stored = { ...stored, readAt: fresh.readAt };
        }
        const last = set.reduce((a, b) => (a.micros > b.micros ? a : b));
        expect(stored).toEqual(at(stamp(last.micros), last.content));
      }),
    );
  });
});

describe("stamps", () => {
  test("tell their milliseconds, rounded down, and sort as text", () => {
    fc.assert(
      fc.property(fc.nat(10_000_000), fc.nat(10_000_000), (a, b) => {
        expect(stampMillis(stamp(a))).toBe(Date.UTC(2026, 2, 1, 12) + Math.floor(a / 1_000));
        expect(stamp(a) < stamp(b)).toBe(a < b);
      }),
    );
  });

  test("lie in the future from five minutes ahead of the clock", () => {
    expect(FUTURE_STAMP_MS).toBe(300_000);
    expect(isFutureStamp("2026-03-01T12:05:01.000000Z", NOW)).toBe(false);
    expect(isFutureStamp(FAULTY, NOW)).toBe(true);
    expect(isFutureStamp(EARLIER, NOW)).toBe(false);
  });
});

describe("the state of a day", () => {
  const bounds = { start: Date.UTC(2026, 1, 28), end: Date.UTC(2026, 2, 1) };
  test.each([
    ["2026-02-28T23:59:59.999999Z", "open"],
    ["2026-03-01T00:00:00.000000Z", "settling"],
    ["2026-03-02T23:59:59.999999Z", "settling"],
    ["2026-03-03T00:00:00.000000Z", "final"],
  ])("read at %s is %s", (readAt, state) => {
    expect(dayState(bounds, readAt, 48)).toBe(state);
  });

  test("without time to settle is final at its end", () => {
    expect(dayState(bounds, "2026-03-01T00:00:00.000000Z", 0)).toBe("final");
    expect(dayState(bounds, "2026-02-28T23:59:59.999999Z", 0)).toBe("open");
  });
});
