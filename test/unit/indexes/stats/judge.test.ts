import { describe, expect, test } from "vitest";
import { DEFAULTS, type Limits } from "../../../../src/indexes/manifest/manifest.ts";
import type { IndexFigures } from "../../../../src/indexes/engines/figures.ts";
import type { Rate } from "../../../../src/indexes/stats/history.ts";
import { verdictsOn, type IndexHistory, type Judged } from "../../../../src/indexes/stats/judge.ts";
import { daysAgo, hoursAgo, index, sample } from "./samples.ts";

const limits: Limits = { ...DEFAULTS.limits, sizePct: 10 };
const MB = 1024 ** 2;

function history(figures: IndexFigures, more: Partial<IndexHistory> = {}): IndexHistory {
  return { figures, limits, ownSize: false, hit: null, unusedSince: null, baseline: null, ...more };
}

function judged(indexes: readonly IndexHistory[], more: Partial<Judged> = {}): Judged {
  const figures = sample(
    hoursAgo(0),
    indexes.map((one) => one.figures),
  );
  const lists = { wanting: [], broken: [], warned: [], failures: [], redundant: [] };
  const nothing = { ...lists, fullScans: null, notAnalyzedSince: null };
  return { figures, at: hoursAgo(0), limits, indexes, ...nothing, ...more };
}

const told = (one: Judged) =>
  verdictsOn(one).map(({ level, kind, index: name }) => [level, kind, ...(name ? [name] : [])].join(" "));
const rate = (part: number, of: number): Rate => ({ value: part / of, from: hoursAgo(24), of, part });

test("a healthy index draws no verdict", () => {
  expect(verdictsOn(judged([history(index("a"), { hit: rate(960, 1_000), unusedSince: daysAgo(29) })]))).toEqual([]);
});

describe("the hit rate", () => {
  const of = (hit: Rate | null, own: Partial<Limits> = {}) =>
    told(judged([history(index("a"), { hit, limits: { ...limits, ...own } })]));

  test.each([
    [950, []],
    [949, ["warn hit-rate a"]],
    [900, ["warn hit-rate a"]],
    [899, ["alert hit-rate a"]],
  ])("of %i in 1,000 pages", (hits, verdicts) => {
    expect(of(rate(hits, 1_000))).toEqual(verdicts);
  });

  test("few pages are not judged, and the index's own limits count", () => {
    expect(of(rate(0, 999))).toEqual([]);
    expect(of(rate(980, 1_000), { hitWarn: 0.99 })).toEqual(["warn hit-rate a"]);
    expect(of(null)).toEqual([]);
  });

  test("the verdict has the figure, the limit and what to do", () => {
    const [verdict] = verdictsOn(judged([history(index("a"), { hit: rate(850, 1_000) })]));
    expect(verdict?.sentence).toBe(
      "only 85.0 % of its 1,000 pages read since 2026-11-20 12:00 UTC came from the cache, the limit is 90.0 %; give the server more memory, or the index fewer columns or a narrower predicate.",
    );
  });
});

describe("size", () => {
  test("all indexes together are judged by the limit of the engine, without GIN and indexes with their own limit", () => {
    const btree = history(index("a", { bytes: 102 * MB }));
    expect(told(judged([btree]))).toEqual([]);
    const more = history(index("b", { bytes: 2 * MB }));
    expect(told(judged([btree, more]))).toEqual(["warn size"]);
    expect(told(judged([btree, { ...more, ownSize: true }]))).toEqual([]);
    expect(told(judged([btree, history(index("b", { bytes: 300 * MB, method: "gin" }))]))).toEqual([]);
    expect(verdictsOn(judged([btree, more]))[0]?.sentence).toMatch(
      /^its indexes take 104 MB, 10.2 % of the table's 1.0 GB, the limit is 10 %; .* These are: a, b\.$/,
    );
  });

  test("an index with a limit of its own is judged by that limit", () => {
    const gin = (sizePct: number) =>
      history(index("g", { bytes: 400 * MB, method: "gin" }), { ownSize: true, limits: { ...limits, sizePct } });
    expect(told(judged([gin(40)]))).toEqual([]);
    expect(told(judged([gin(39)]))).toEqual(["warn size g"]);
  });

  test("an index below 10 MB is not judged", () => {
    const tiny = judged([history(index("a", { bytes: 9 * MB }), { ownSize: true })]);
    expect(told({ ...tiny, figures: { ...tiny.figures, dataBytes: MB } })).toEqual([]);
  });
});

describe("full scans", () => {
  const of = (fullScans: Rate | null, rows = 10_000) => {
    const one = judged([], { fullScans });
    return told({ ...one, figures: { ...one.figures, rows } });
  };

  test.each([
    ["1 of 100 is the limit", rate(1, 100), []],
    ["2 of 100 are more", rate(2, 100), ["alert full-scans"]],
    ["1 of 99 is one", rate(1, 99), []],
    ["9 of 99 may be somebody at a console", rate(9, 99), []],
    ["10 of 11 are no accident", rate(10, 11), ["alert full-scans"]],
  ])("%s", (_what, share, verdicts) => {
    expect(of(share)).toEqual(verdicts);
    expect(of(share, 9_999)).toEqual([]);
  });
});

describe("unused", () => {
  const of = (figures: Partial<IndexFigures>, unusedSince: string | null, own: Partial<Limits> = {}) =>
    told(judged([history(index("a", figures), { unusedSince, limits: { ...limits, ...own } })]));

  test("unused is reported only after the window, which is at least seven days", () => {
    expect(of({}, daysAgo(29.9))).toEqual([]);
    expect(of({}, daysAgo(30))).toEqual(["warn unused a"]);
    expect(of({}, daysAgo(30), { unusedDays: 31 })).toEqual([]);
    expect(of({}, daysAgo(6), { unusedDays: 1 })).toEqual([]);
    expect(of({}, daysAgo(7), { unusedDays: 1 })).toEqual(["warn unused a"]);
    expect(of({}, null)).toEqual([]);
  });

  test.each([
    "_id",
    "primary key",
    "unique",
    "exclusion constraint",
    "foreign key",
    "replica identity",
    "clustered",
    "ttl",
    "hidden",
    "shard key",
  ] as const)("an index with the duty %s is never called unused", (guard) => {
    expect(of({ guards: [guard] }, daysAgo(300))).toEqual([]);
  });

  test("the verdict names the node that counted, and the number of other nodes", () => {
    const one = judged([history(index("a"), { unusedSince: daysAgo(31) })]);
    expect(verdictsOn(one)[0]?.sentence).toMatch(/as far as this node \(10\.0\.0\.1:5432\) has seen;/);
    const others = { ...one, figures: { ...one.figures, otherNodes: 2 } };
    expect(verdictsOn(others)[0]?.sentence).toMatch(/has seen; 2 other node\(s\) may use it/);
  });
});

describe("bloat", () => {
  const of = (bytes: number, bytesPerEntry: number) =>
    told(
      judged([
        history(index("a", { bytes, entries: bytes / 100 }), {
          baseline: { bytesPerEntry, at: daysAgo(9), of: "build" },
        }),
      ]),
    );

  test("bloat is twice the bytes per entry, in an index of at least 10 MB", () => {
    expect(of(20 * MB, 50)).toEqual(["warn bloat a"]);
    expect(of(20 * MB, 50.1)).toEqual([]);
    expect(of(9 * MB, 10)).toEqual([]);
  });
});

test("an invalid index is an alert, and gets no other verdict", () => {
  const bad = history(index("a", { state: "invalid" }), { hit: rate(0, 5_000), unusedSince: daysAgo(99) });
  expect(told(judged([bad]))).toEqual(["alert invalid a"]);
});

test("a missing index is an alert if it is required; a failed build and a broken contract always are alerts", () => {
  const verdicts = told(
    judged([], {
      wanting: [
        { name: "a", required: false },
        { name: "b", required: true },
        { name: "c", required: false, detail: "keys" },
      ],
      failures: [{ name: "a", error: "no space", at: daysAgo(1) }],
      broken: [
        { index: "b", contract: "reads", why: ["a full scan"] },
        { index: null, contract: "lists", why: ["a sort"] },
      ],
      redundant: [{ name: "d", by: "e", kind: "duplicate" }],
    }),
  );
  expect(verdicts).toEqual([
    "alert missing b",
    "alert build-failed a",
    "alert contract b",
    "alert contract",
    "warn missing a",
    "warn different c",
    "warn redundant d",
  ]);
});

test("too many indexes are a warning; MongoDB's _id index does not count", () => {
  const many = Array.from({ length: 11 }, (_, n) => history(index(`i${n}`, { bytes: 0 })));
  expect(told(judged(many))).toEqual(["warn too-many"]);
  const own = history(index("_id_", { bytes: 0, guards: ["_id"] }));
  expect(told(judged([own, ...many.slice(1)]))).toEqual([]);
});

test("slow queries and a table that nobody analyzes are warnings", () => {
  const one = judged([], { notAnalyzedSince: daysAgo(1) });
  const slow = [{ query: "SELECT $1", calls: 3, meanMs: 120, maxMs: 200 }];
  expect(told({ ...one, figures: { ...one.figures, slow } })).toEqual(["warn slow-queries", "warn not-analyzed"]);
  expect(told({ ...one, notAnalyzedSince: hoursAgo(23) })).toEqual([]);
  expect(told({ ...one, figures: { ...one.figures, rows: 9_999 } })).toEqual([]);
});

test("a missing table is a single alert", () => {
  const one = judged([], { wanting: [{ name: "a", required: true }] });
  expect(verdictsOn({ ...one, figures: { ...one.figures, unusable: "there is no such table" } })).toEqual([
    { level: "alert", kind: "missing", sentence: "there is no such table; none of its indexes can be used." },
  ]);
});
