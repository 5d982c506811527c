import { expect, test } from "vitest";
import { HttpServer } from "../../src/http/server.ts";
import { Metrics } from "../../src/metrics.ts";

const audit = { checked: 200, drifted: 3, finishedAt: 1_795_236_300.5 };

test("the audit's metrics are those of the newest one, read anew at each scrape", async () => {
  const audits: (typeof audit)[] = [];
  const metrics = new Metrics({ newestAudit: () => Promise.resolve(audits.at(-1)) });
  const lines = async () => (await metrics.text()).split("\n").filter((line) => line && !line.startsWith("#"));
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

test("two of them in one process do not get into each other's way", async () => {
  const [one, other] = [1, 2].map(
    (drifted) => new Metrics({ newestAudit: () => Promise.resolve({ ...audit, drifted }) }),
  );
  expect(await one?.text()).toContain("tallyman_audit_drifted_days 1\n");
  expect(await other?.text()).toContain("tallyman_audit_drifted_days 2\n");
});

test("every metric is a gauge with a help line and no label", async () => {
  const text = await new Metrics({ newestAudit: () => Promise.resolve(audit) }).text();
  const names = [...text.matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect(text).toMatch(new RegExp(`^# HELP ${name} [A-Z].+\\.$`, "m"));
  expect(text).not.toContain("{");
});

test("a scrape is refused while what it shows cannot be read", async () => {
  let isAway = true;
  const newestAudit = () => (isAway ? Promise.reject(new Error("PostgreSQL is away")) : Promise.resolve(audit));
  const server = new HttpServer("127.0.0.1", 0, () => Promise.resolve([]), new Metrics({ newestAudit }));
  const address = await server.start();
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
