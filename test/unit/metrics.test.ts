import { expect, test } from "vitest";
import { HttpServer } from "../../src/http/server.ts";
import type { StatsReport } from "../../src/indexes/stats/stats.ts";
import { Metrics } from "../../src/metrics.ts";

const newestIndexReport = () => Promise.resolve(undefined);
const seen = {
  fallenDays: () => Promise.resolve(2),
  malformed: () => Promise.resolve([{ field: "cost", reason: "wrongType", events: 12 }]),
};
const audit = { checked: 200, drifted: 3, finishedAt: 1_795_236_300.5 };

test("the audit's metrics are those of the newest audit, read at each scrape", async () => {
  const audits: (typeof audit)[] = [];
  const metrics = new Metrics({ ...seen, newestAudit: () => Promise.resolve(audits.at(-1)), newestIndexReport });
  const lines = async () => (await metrics.text()).split("\n").filter((line) => line.startsWith("tallyman_audit"));
  expect(await lines()).toEqual([
    "tallyman_audit_drifted_days 0",
    "tallyman_audit_checked_days 0",
    "tallyman_audit_last_timestamp_seconds 0",
  ]);
  audits.push(audit);
  expect(await lines()).toEqual([
    "tallyman_audit_drifted_days 3",
    "tallyman_audit_checked_days 200",
    "tallyman_audit_last_timestamp_seconds 1795236300.5",
  ]);
});

test("fallen days and malformed events are those of the scrape, and a field that was fixed disappears", async () => {
  const counts = [{ field: "cost", reason: "wrongType", events: 12 }];
  let fallen = 0;
  const metrics = new Metrics({
    newestAudit: () => Promise.resolve(undefined),
    newestIndexReport,
    fallenDays: () => Promise.resolve(fallen),
    malformed: () => Promise.resolve(counts),
  });
  const lines = async () =>
    (await metrics.text()).split("\n").filter((line) => /^tallyman_(fallen|malformed)/.test(line));
  expect(await lines()).toEqual([
    "tallyman_fallen_days 0",
    'tallyman_malformed_events{field="cost",reason="wrongType"} 12',
  ]);
  counts.length = 0;
  fallen = 3;
  expect(await lines()).toEqual(["tallyman_fallen_days 3"]);
});

test("two sets of metrics in one process do not disturb each other", async () => {
  const [one, other] = [1, 2].map(
    (drifted) => new Metrics({ ...seen, newestAudit: () => Promise.resolve({ ...audit, drifted }), newestIndexReport }),
  );
  expect(await one?.text()).toContain("tallyman_audit_drifted_days 1\n");
  expect(await other?.text()).toContain("tallyman_audit_drifted_days 2\n");
});

const rate = { value: 0.25, from: "2026-11-20T04:15:00.000Z", of: 400, part: 100 };
const index = {
  name: "as_it_is",
  id: "1",
  method: "btree",
  state: "ready",
  bytes: 8192,
  entries: 10,
  scans: 7,
  entriesRead: 9,
  since: null,
  lastScan: null,
  guards: [],
  declaredAs: "declared",
  sizePct: 5,
  newScans: 1,
  hit: { ...rate, value: 0.75 },
  unusedSince: null,
  bloat: 1.5,
  baseline: null,
} as const;
const verdict = { engine: "postgres", target: "public.orders", kind: "size", sentence: "It is large." } as const;
const report: StatsReport = {
  at: "2026-11-21T04:15:00.500Z",
  ok: false,
  verdicts: [
    { ...verdict, level: "alert" },
    { ...verdict, level: "warn" },
    { ...verdict, level: "warn" },
  ],
  targets: [
    {
      engine: "postgres",
      target: "public.orders",
      rows: 10,
      dataBytes: 100,
      indexBytes: 8192,
      scans: null,
      since: null,
      lastAnalyze: null,
      slow: null,
      node: "",
      otherNodes: 0,
      unknown: [],
      sizePct: null,
      fullScans: rate,
      samples: 2,
      firstSample: "",
      notes: [],
      verdicts: [],
      indexes: [index, { ...index, name: "somebody_s", declaredAs: null }],
      declared: [
        { name: "declared", state: "ok", as: "as_it_is" },
        { name: "gone", state: "missing" },
      ],
      contracts: [
        { index: "declared", contract: "a", ok: true, why: [], warnings: [] },
        { index: "declared", contract: "b", ok: false, why: ["no"], warnings: [] },
      ],
    },
  ],
};

test("the indexes' metrics are those of the newest report, of declared indexes alone, and gone with it", async () => {
  const reports: (StatsReport | undefined)[] = [];
  const metrics = new Metrics({
    ...seen,
    newestAudit: () => Promise.resolve(audit),
    newestIndexReport: () => Promise.resolve(reports.at(-1)),
  });
  const lines = async () =>
    (await metrics.text())
      .split("\n")
      .filter((line) => line.startsWith("tallyman_index"))
      .sort();
  const none = ["tallyman_index_alerts 0", "tallyman_index_report_timestamp_seconds 0", "tallyman_index_warnings 0"];
  expect(await lines()).toEqual(none);
  reports.push(report);
  const orders = 'engine="postgres",target="public.orders"';
  const states = (name: string, state: string) =>
    ["building", "different", "invalid", "missing", "ok"].map(
      (one) => `tallyman_index_state{${orders},index="${name}",state="${one}"} ${one === state ? 1 : 0}`,
    );
  expect(await lines()).toEqual(
    [
      "tallyman_index_alerts 1",
      `tallyman_index_bloat_ratio{${orders},index="declared"} 1.5`,
      `tallyman_index_contract_ok{${orders},index="declared"} 0`,
      `tallyman_index_full_scan_ratio{${orders}} 0.25`,
      `tallyman_index_hit_ratio{${orders},index="declared"} 0.75`,
      "tallyman_index_report_timestamp_seconds 1795234500.5",
      `tallyman_index_scans{${orders},index="declared"} 7`,
      `tallyman_index_size_bytes{${orders},index="declared"} 8192`,
      ...states("declared", "ok"),
      ...states("gone", "missing"),
      "tallyman_index_warnings 2",
    ].sort(),
  );
  reports.push(undefined);
  expect(await lines()).toEqual(none);
});

test("every metric is a gauge with a help line, and no label is a tenant", async () => {
  const text = await new Metrics({
    ...seen,
    newestAudit: () => Promise.resolve(audit),
    newestIndexReport: () => Promise.resolve(report),
  }).text();
  const names = [...text.matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(0);
  expect(text.match(/^# TYPE/gm)).toHaveLength(names.length);
  for (const name of names) expect(text).toMatch(new RegExp(`^# HELP ${name} [A-Z].+[.?].*$`, "m"));
  const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
  expect([...labels].sort()).toEqual(["engine", "field", "index", "reason", "state", "target"]);
});

test("a scrape is refused while what it shows cannot be read", async () => {
  let isAway = true;
  const newestAudit = () => (isAway ? Promise.reject(new Error("PostgreSQL is away")) : Promise.resolve(audit));
  const server = new HttpServer(
    "127.0.0.1",
    0,
    () => Promise.resolve([]),
    new Metrics({ ...seen, newestAudit, newestIndexReport }),
  );
  await server.start();
  const { address } = server;
  try {
    const refused = await fetch(`${address}/metrics`);
    expect([refused.status, await refused.text()]).toEqual([503, "PostgreSQL is away\n"]);
    isAway = false;
    const answered = await fetch(`${address}/metrics`);
    expect(answered.status).toBe(200);
    expect(answered.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await answered.text()).toContain("tallyman_audit_checked_days 200\n");
  } finally {
    await server.stop();
  }
});
