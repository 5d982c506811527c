import { describe, expect, test } from "vitest";
import type { LedgerEntry } from "../../../../src/indexes/ledger/ledger.ts";
import {
  baselineOf,
  beganAnew,
  buildWindows,
  fullScanShare,
  hitRate,
  newScans,
  notAnalyzedSince,
  unusedSince,
} from "../../../../src/indexes/stats/history.ts";
import { daysAgo, hoursAgo, index, sample } from "./samples.ts";

const used = (scans: number, more = {}) => [index("a", { scans, ...more })];

describe("the hit rate", () => {
  const cached = (hits: number, reads: number, more = {}) => [index("a", { cache: { hits, reads }, ...more })];

  test("the hit rate is computed from the growth of the counters, not from their values", () => {
    const samples = [sample(hoursAgo(24), cached(9_000, 1_000)), sample(hoursAgo(0), cached(9_030, 1_010))];
    expect(hitRate(samples, "a")).toEqual({ value: 0.75, from: hoursAgo(24), of: 40, part: 30 });
  });

  test("the hit rate covers the last day, or the time since the previous sample if there is none from that day", () => {
    const old = [sample(daysAgo(9), cached(0, 0)), sample(daysAgo(3), cached(100, 0))];
    expect(hitRate([...old, sample(hoursAgo(0), cached(150, 50))], "a")?.from).toBe(daysAgo(3));
    const day = [sample(hoursAgo(25), cached(100, 40)), sample(hoursAgo(12), cached(120, 40))];
    expect(hitRate([...old, ...day, sample(hoursAgo(0), cached(150, 50))], "a")).toEqual({
      value: 50 / 60,
      from: hoursAgo(25),
      of: 60,
      part: 50,
    });
  });

  test("the hit rate is unknown with one sample, over a reset, for a new index of the same name, or without reads", () => {
    const first = sample(hoursAgo(24), cached(100, 10));
    const later = (more: object, figures = {}) => sample(hoursAgo(0), cached(200, 20, more), figures);
    expect(hitRate([first, later({})], "a")).not.toBeNull();
    expect(hitRate([first], "a")).toBeNull();
    expect(hitRate([first, sample(hoursAgo(0), cached(50, 20))], "a")).toBeNull();
    expect(hitRate([first, sample(hoursAgo(0), cached(150, 5))], "a")).toBeNull();
    expect(hitRate([first, later({}, { epoch: "reset" })], "a")).toBeNull();
    expect(hitRate([first, later({ since: hoursAgo(1) })], "a")).toBeNull();
    expect(hitRate([first, later({ id: "2" })], "a")).toBeNull();
    expect(hitRate([first, later({ cache: null })], "a")).toBeNull();
    expect(hitRate([first, sample(hoursAgo(0), cached(100, 10))], "a")).toBeNull();
    expect(hitRate([], "a")).toBeNull();
  });

  test("the hit rate leaves out the interval of a reset, and no other", () => {
    const samples = [
      sample(hoursAgo(24), cached(100, 100)),
      sample(hoursAgo(16), cached(190, 110)),
      sample(hoursAgo(8), cached(5, 5)),
      sample(hoursAgo(0), cached(15, 5)),
    ];
    expect(hitRate(samples, "a")).toMatchObject({ value: 100 / 110, of: 110 });
  });
});

describe("the share of full scans", () => {
  const scanned = (full: number, scans: number) => ({ indexes: used(scans), scans: { full, index: scans } });
  const of = (at: string, full: number, scans: number, more = {}) =>
    sample(at, used(scans), { ...scanned(full, scans), ...more });

  test("the share of full scans is computed from the growth of the counters", () => {
    expect(fullScanShare([of(hoursAgo(24), 50, 100), of(hoursAgo(0), 51, 199)], [])).toEqual({
      value: 0.01,
      from: hoursAgo(24),
      of: 100,
      part: 1,
    });
  });

  test("the share of full scans leaves out intervals in which an index was built", () => {
    const samples = [of(hoursAgo(24), 0, 0), of(hoursAgo(12), 0, 90), of(hoursAgo(0), 10, 90)];
    const share = (from: string, to: string | null) => fullScanShare(samples, [{ from, to }])?.value;
    expect(share(hoursAgo(40), hoursAgo(30))).toBe(0.1);
    expect(share(hoursAgo(3), hoursAgo(2))).toBe(0);
    expect(share(hoursAgo(3), null)).toBe(0);
    expect(share(hoursAgo(20), hoursAgo(18))).toBe(1);
    expect(share(hoursAgo(13), hoursAgo(11))).toBeUndefined();
    // Nobody builds for days: that build's process died, and its end was never written.
    expect(share(hoursAgo(100), null)).toBe(0.1);
  });

  test("the share of full scans is unknown over a reset or where the server does not count", () => {
    const first = of(hoursAgo(24), 10, 10);
    expect(fullScanShare([first, of(hoursAgo(0), 5, 20)], [])).toBeNull();
    expect(fullScanShare([first, of(hoursAgo(0), 15, 5)], [])).toBeNull();
    expect(fullScanShare([first, of(hoursAgo(0), 15, 15, { epoch: "reset" })], [])).toBeNull();
    expect(fullScanShare([first, of(hoursAgo(0), 15, 15, { scans: null })], [])).toBeNull();
    expect(fullScanShare([first], [])).toBeNull();
  });

  test("all scans of a new index count; those of a rebuilt index count from its old value on", () => {
    const later = sample(hoursAgo(0), [index("a", { id: "2", scans: 107 }), index("b", { scans: 2 })], {
      scans: { full: 1, index: 109 },
    });
    expect(fullScanShare([of(hoursAgo(24), 0, 100), later], [])).toMatchObject({ of: 10, part: 1 });
  });
});

describe("unused since", () => {
  test("unused since is the first stored sample with today's count", () => {
    const samples = [
      sample(daysAgo(40), used(3)),
      sample(daysAgo(35), used(4)),
      sample(daysAgo(10), used(4)),
      sample(daysAgo(0), used(4)),
    ];
    expect(unusedSince(samples, "a")).toBe(daysAgo(35));
    expect(unusedSince([...samples, sample(hoursAgo(-1), used(5))], "a")).toBeNull();
  });

  test("unused since goes back to the server's counter start, if that is earlier and the count is 0", () => {
    const samples = [
      sample(daysAgo(2), used(0, { since: daysAgo(60) })),
      sample(daysAgo(0), used(0, { since: daysAgo(60) })),
    ];
    expect(unusedSince(samples, "a")).toBe(daysAgo(60));
    expect(
      unusedSince(
        samples.map((one) => ({ ...one, indexes: used(1, { since: daysAgo(60) }) })),
        "a",
      ),
    ).toBe(daysAgo(2));
  });

  test("unused since does not reach over a reset or to another index of the same name, and needs a count", () => {
    const now = sample(daysAgo(0), used(0));
    expect(unusedSince([sample(daysAgo(40), used(0)), now], "a")).toBe(daysAgo(40));
    expect(unusedSince([sample(daysAgo(40), used(0), { epoch: "before" }), now], "a")).toBeNull();
    expect(unusedSince([sample(daysAgo(40), used(0, { since: daysAgo(50) })), now], "a")).toBeNull();
    expect(unusedSince([sample(daysAgo(40), used(0, { id: "7" })), now], "a")).toBeNull();
    expect(unusedSince([sample(daysAgo(40), []), now], "a")).toBeNull();
    const uncounted = used(0, { scans: null });
    expect(unusedSince([sample(daysAgo(40), uncounted), sample(daysAgo(0), uncounted)], "a")).toBeNull();
  });
});

test("new scans are the scans between the last two samples, if these can be compared", () => {
  const earlier = sample(hoursAgo(2), used(5));
  expect(newScans([sample(hoursAgo(3), used(1)), earlier, sample(hoursAgo(0), used(9))], "a")).toBe(4);
  expect(newScans([earlier, sample(hoursAgo(0), used(4))], "a")).toBeNull();
  expect(newScans([earlier, sample(hoursAgo(0), used(9), { epoch: "reset" })], "a")).toBeNull();
  expect(newScans([earlier, sample(hoursAgo(0), used(9, { id: "2" }))], "a")).toBeNull();
  expect(newScans([earlier], "a")).toBeNull();
});

test("a reset shows by the epoch, by a counter that fell, or by a later counter start", () => {
  const earlier = sample(hoursAgo(1), used(5), { scans: { full: 3, index: 5 } });
  const later = (more: object, figures: object = {}) =>
    sample(hoursAgo(0), used(6, more), { scans: { full: 4, index: 6 }, ...figures });
  expect(beganAnew(earlier, later({}))).toBe(false);
  expect(beganAnew(earlier, later({}, { epoch: "reset" }))).toBe(true);
  expect(beganAnew(earlier, later({ scans: 4 }))).toBe(true);
  expect(beganAnew(earlier, later({ since: hoursAgo(1) }))).toBe(true);
  expect(beganAnew(earlier, later({}, { scans: { full: 2, index: 6 } }))).toBe(true);
  expect(beganAnew(earlier, later({ id: "2", scans: 0 }))).toBe(false);
});

test("a missing ANALYZE is dated to the first sample without one after the last reset", () => {
  const none = { lastAnalyze: null };
  const now = sample(hoursAgo(0), [], none);
  expect(notAnalyzedSince([sample(daysAgo(5), [], none), now])).toBe(daysAgo(5));
  expect(notAnalyzedSince([sample(daysAgo(5), [], { ...none, epoch: "before" }), now])).toBe(hoursAgo(0));
  expect(notAnalyzedSince([sample(daysAgo(5), [], none), sample(hoursAgo(0), [])])).toBeNull();
  expect(notAnalyzedSince([{ ...now, engine: "mongodb" }])).toBeNull();
});

describe("the baseline", () => {
  const sized = (bytes: number, entries: number | null, id = "1") => [index("a", { bytes, entries, id })];
  const built: LedgerEntry = {
    target: "public.orders",
    name: "a",
    project: "p",
    runId: "r",
    intent: "create",
    state: "done",
    fingerprint: "",
    definition: "",
    oid: 1,
    startedAt: daysAgo(50),
    finishedAt: daysAgo(49),
    baseline: { bytes: 200_000, rows: 10_000 },
  };

  test("the baseline is the least bytes per entry seen of the same index, its build included", () => {
    const samples = [sample(daysAgo(9), sized(300_000, 10_000)), sample(daysAgo(0), sized(900_000, 10_000))];
    expect(baselineOf(samples, "a")).toEqual({ bytesPerEntry: 30, at: daysAgo(9), of: "sample" });
    expect(baselineOf(samples, "a", built)).toEqual({ bytesPerEntry: 20, at: daysAgo(49), of: "build" });
    const denser = [sample(daysAgo(9), sized(150_000, 10_000)), ...samples];
    expect(baselineOf(denser, "a", built)).toEqual({ bytesPerEntry: 15, at: daysAgo(9), of: "sample" });
  });

  test("the baseline is not taken from few or unknown entries, or from another index of the same name", () => {
    const now = sample(daysAgo(0), sized(900_000, 10_000));
    const own = { bytesPerEntry: 90, at: daysAgo(0), of: "sample" };
    expect(baselineOf([sample(daysAgo(9), sized(100, 9_999)), now], "a")).toEqual(own);
    expect(baselineOf([sample(daysAgo(9), sized(100, null)), now], "a")).toEqual(own);
    expect(baselineOf([sample(daysAgo(9), sized(100_000, 10_000, "7")), now], "a")).toEqual(own);
    expect(baselineOf([now], "a", { ...built, oid: 7 })).toEqual(own);
    expect(baselineOf([now], "a", { ...built, baseline: { bytes: 100, rows: 9_999 } })).toEqual(own);
    expect(baselineOf([sample(daysAgo(0), sized(8_192, 3))], "a")).toBeNull();
    expect(baselineOf([now], "b")).toBeNull();
  });

  test("build windows leave out other targets and builds longer than a build can take", () => {
    const entries: LedgerEntry[] = [
      { ...built, startedAt: daysAgo(1), finishedAt: daysAgo(0.9) },
      { ...built, intent: "replace", startedAt: daysAgo(2), finishedAt: daysAgo(1.9) },
      { ...built, intent: "adopt" },
      { ...built, target: "public.others" },
      { ...built, startedAt: daysAgo(50), finishedAt: daysAgo(1) },
    ];
    expect(buildWindows(entries, "public.orders")).toEqual([
      { from: daysAgo(1), to: daysAgo(0.9) },
      { from: daysAgo(2), to: daysAgo(1.9) },
    ]);
  });
});
