import { FUTURE_STAMP_MS, isFutureStamp, stampMillis, type Stamp } from "../../../src/usage/stamp.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCost } from "../../../src/usage/decimal.ts";
import type { Measures } from "../../../src/usage/measures.ts";
import { holds } from "../../support/property.ts";
import {
  classify,
  dayState,
  fallenMeasures,
  type Allowance,
  type DayState,
  type FreshDay,
} from "../../../src/usage/classify.ts";

const hash = (content: number) => Buffer.from([content]);
const at = (readAt: Stamp, content: number, sourceEvents = 1, state: DayState = "final"): FreshDay => {
  return { readAt, contentHash: hash(content), sourceEvents, state, isBeforeHorizon: false };
};
const SHRINK: Allowance = { shrink: true, rewrite: false };
const REWRITE: Allowance = { shrink: false, rewrite: true };
/** Microseconds after noon. */
const stamp = (micros: number): Stamp =>
  `${new Date(Date.UTC(2026, 2, 1, 12) + Math.floor(micros / 1_000)).toISOString().slice(0, 23)}${String(micros % 1_000).padStart(3, "0")}Z`;

const EARLIER = "2026-03-01T12:00:00.000001Z";
const LATER = "2026-03-01T12:00:00.000002Z";
const NOW = "2026-03-01T12:00:01.000000Z";
/** More than five minutes after NOW. */
const FAULTY = "2026-03-01T12:05:01.001000Z";
const [AHEAD, FURTHER] = ["2026-03-01T12:00:01.000001Z", "2026-03-01T12:00:01.000002Z"];

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

  test.each([
    ["fewer events of a final day", at(EARLIER, 1, 5), at(LATER, 2, 4), "refused"],
    ["not one event left of a final day", at(EARLIER, 1, 1), at(LATER, 2, 0), "refused"],
    ["fewer events than a settling row had", at(EARLIER, 1, 5, "settling"), at(LATER, 2, 4), "refused"],
    ["fewer events than an open row had", at(EARLIER, 1, 5, "open"), at(LATER, 2, 4), "refused"],
    ["as many events of other content", at(EARLIER, 1, 5), at(LATER, 2, 5), "changed"],
    ["more events", at(EARLIER, 1, 5), at(LATER, 2, 6), "changed"],
    ["fewer events under the same hash, as after a change by hand", at(EARLIER, 1, 5), at(LATER, 1, 4), "refused"],
    ["more events under the same hash", at(EARLIER, 1, 5), at(LATER, 1, 6), "changed"],
    ["fewer events past 2^53", at(EARLIER, 1), at(LATER, 2), "refused", 2n ** 60n + 1n, 2n ** 60n],
    ["fewer events of a day that settles", at(EARLIER, 1, 5), at(LATER, 2, 4, "settling"), "changed"],
    ["fewer events of a day that is open", at(EARLIER, 1, 5, "open"), at(LATER, 2, 0, "open"), "changed"],
    ["fewer events in an older read", at(LATER, 1, 5), at(EARLIER, 2, 4), "stale"],
    ["fewer events than a row from the future had", at(FAULTY, 1, 5), at(LATER, 2, 4), "refused"],
  ] as const)("%s", (_, stored, fresh, outcome, before?: bigint, after?: bigint) => {
    const [row, read] = [
      { ...stored, sourceEvents: before ?? stored.sourceEvents },
      { ...fresh, sourceEvents: after ?? fresh.sourceEvents },
    ];
    expect(classify(row, read, NOW)).toBe(outcome);
    expect(classify(row, read, NOW, REWRITE)).toBe(outcome);
    expect(classify(row, read, NOW, SHRINK)).toBe(outcome === "refused" ? "changed" : outcome);
  });

  test("a day before the horizon is refused with a row and without, whatever else is true of it and allowed", () => {
    for (const allow of [undefined, SHRINK, REWRITE, { shrink: true, rewrite: true }]) {
      for (const stored of [undefined, at(EARLIER, 1), at(LATER, 1, 9), at(FAULTY, 1)]) {
        for (const state of ["open", "settling", "final"] as const) {
          const fresh = { ...at(LATER, 1, 2, state), isBeforeHorizon: true };
          expect(classify(stored, fresh, NOW, allow)).toBe("refused");
        }
      }
    }
  });

  test("a run that may rewrite rows rewrites an unchanged row, and no other guard is loosened", () => {
    expect(classify(at(EARLIER, 1), at(LATER, 1), NOW, REWRITE)).toBe("changed");
    expect(classify(at(LATER, 1), at(EARLIER, 1), NOW, REWRITE)).toBe("stale");
    expect(classify(at(EARLIER, 1, 2), at(LATER, 1, 1), NOW, REWRITE)).toBe("refused");
    expect(classify(undefined, at(LATER, 1), NOW, REWRITE)).toBe("new");
  });

  /** The clock was set back: a read from before has a stamp ahead of the clock. */
  test.each([
    ["gives way to a row read since", at(LATER, 1), at(AHEAD, 2), "stale"],
    ["gives way to it too where the content is the same", at(LATER, 1), at(AHEAD, 1), "stale"],
    ["gives way to a row that was read before it likewise, but later", at(FURTHER, 1), at(AHEAD, 2), "stale"],
    ["replaces a row that was read before it likewise, and earlier", at(AHEAD, 1), at(FURTHER, 2), "changed"],
    ["gives way to a later one by more than five minutes", at(FAULTY, 1), at(AHEAD, 2), "stale"],
    ["is written where there is no row", undefined, at(AHEAD, 1), "new"],
  ] as const)("a read with a stamp ahead of the clock %s", (_, stored, fresh, outcome) => {
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
    holds(
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

  describe("reads of a day that loses events", () => {
    const final = fc
      .record({ micros: fc.integer({ min: 0, max: 3_000 }), events: fc.nat(4) })
      .map(({ micros, events }) => at(stamp(micros), events, events));
    const any = fc
      .record({
        read: final,
        state: fc.constantFrom<DayState>("open", "settling", "final"),
        isBeforeHorizon: fc.boolean(),
      })
      .map(({ read, ...judged }): FreshDay => ({ ...read, ...judged }));

    /** The row after these writes; `onWrite` sees each that found one. */
    function replay(reads: readonly FreshDay[], onWrite?: (before: FreshDay, after: FreshDay) => void) {
      let stored: FreshDay | undefined;
      for (const read of reads) {
        const outcome = classify(stored, read, stamp(3_000));
        if (outcome === "stale" || outcome === "refused") continue;
        if (stored) onWrite?.(stored, read);
        stored = read;
      }
      return stored;
    }

    test("never make a final day smaller, nor a stamp older, in whatever order they come", () => {
      holds(
        fc.property(fc.array(any, { maxLength: 12 }), (reads) => {
          const stored = replay(reads, (before, after) => {
            expect(after.readAt >= before.readAt).toBe(true);
            const isSmaller = Number(after.sourceEvents) < Number(before.sourceEvents);
            expect(after.state === "final" && isSmaller).toBe(false);
          });
          expect(stored?.isBeforeHorizon ?? false).toBe(false);
        }),
      );
    });

    test("leave at least as many events as the newest of them saw, where all are final", () => {
      holds(
        fc.property(fc.array(final, { minLength: 1, maxLength: 12 }), (reads) => {
          const newest = reads.reduce((a, b) => (b.readAt >= a.readAt ? b : a));
          const events = Number(replay([...reads, ...reads])?.sourceEvents);
          expect(events).toBeGreaterThanOrEqual(Number(newest.sourceEvents));
          expect(events).toBeLessThanOrEqual(Math.max(...reads.map(({ sourceEvents }) => Number(sourceEvents))));
        }),
      );
    });
  });
});

describe("stamps", () => {
  test("tell their milliseconds, rounded down, and sort as text", () => {
    holds(
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

describe("fallenMeasures", () => {
  const before = { requests: "10", tokens: "150", prompt: "100", completion: "50", cost: "1000.5" };
  const totals: Measures = {
    requests: 10,
    tokens: 150,
    prompt: 100,
    completion: 50,
    cost: parseCost("1000.5"),
  };
  const fell = (differs: Partial<Measures>, state: DayState = "final") =>
    fallenMeasures(before, { state, totals: { ...totals, ...differs } });

  test.each([
    [{}, []],
    [{ cost: totals.cost - 1n }, ["cost"]],
    [{ cost: totals.cost + 1n }, []],
    [{ tokens: 149 }, ["tokens"]],
    [{ tokens: 149, prompt: 99, completion: 60, cost: 0n }, ["tokens", "prompt", "cost"]],
    [{ requests: 11, completion: 49 }, ["completion"]],
    [{ requests: 9, cost: 0n }, []],
    [{ tokens: 2n ** 60n, prompt: 99 }, ["prompt"]],
  ] as const)("of %o are %o", (differs, expected) => {
    expect(fell(differs)).toEqual(expected);
  });

  test("are none while the day is not final, and none without a row", () => {
    expect(fell({ cost: 0n }, "settling")).toEqual([]);
    expect(fell({ cost: 0n }, "open")).toEqual([]);
    expect(fallenMeasures(undefined, { state: "final", totals })).toEqual([]);
  });

  test("compare sums past 2^53 to the last digit", () => {
    const large = { ...before, tokens: "9007199254740993" };
    expect(fallenMeasures(large, { state: "final", totals: { ...totals, tokens: 9007199254740992n } })).toEqual([
      "tokens",
    ]);
    expect(fallenMeasures(large, { state: "final", totals: { ...totals, tokens: 9007199254740993n } })).toEqual([]);
  });
});
