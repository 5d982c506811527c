/** Beside the index that every read needs, the partial one of the same keys that a source document proposes too. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { manifestText } from "../../../src/indexes/manifest/load.ts";
import type { VerifyReport } from "../../../src/indexes/verify/verify.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { oracle, type OracleDay } from "../../support/oracle.ts";
import { endProcesses, run } from "../../support/process.ts";
import type { SampleEvent } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";
import { timeless } from "../indexes/timeless.ts";
import { arrived } from "../audit/arrived.ts";
import { dateAt, follow, workOff, ZONE } from "./follow.ts";

const HOUR = 3_600;
const KEYS = { tenant_id: 1, created_at: -1 } as const;
/** Half of the days lie before its date: read through it, they would be empty. */
const [FROM, MIDDLE, TO] = [dateAt(-20), dateAt(-14), dateAt(-9)];

const world = useWorld("partial_twin", { USAGE_TIMEZONE: ZONE });
let folder: string;
let events: SampleEvent[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tallyman-twin-"));
  const recent = { created_at: { $gte: new Date(`${MIDDLE}T00:00:00Z`) } };
  await world.events.createIndex(KEYS, { name: "idx_tenant_date_recent", partialFilterExpression: recent });
  expect((await run(world.env, "indexes", "ensure", "--allow-blocking")).code).toBe(0);
  events = ["acme", "bolt"].flatMap((tenant) => arrived(daysOfEvents(tenant, FROM, 12, 5), HOUR));
  await world.insert(events);
});
afterEach(endProcesses);
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Tenant-day -> number of events and tokens: of the rows, and of the events themselves. */
const stored = async () => {
  const rows = [...(await storedRows(world.pool)).entries()];
  return new Map(rows.map(([key, row]) => [key, [Number(row.source_events), Number(row.total_tokens)]]));
};
const expected = () => {
  const { days } = oracle(events, { timeZone: ZONE, now: new Date() });
  const figures = ({ tenant, date, totals }: OracleDay) =>
    [`${tenant}|${date}`, [Number(totals.requests), Number(totals.tokens)]] as const;
  return new Map([...days.values()].map(figures));
};

test("a backfill, a refresh, an audit and verify go through the whole index, and every figure is right", async () => {
  const range = ["--from", FROM, "--to", TO];
  expect(await run(world.env, "rebuild", "--inline", ...range)).toMatchObject({ code: 0 });
  expect(await stored()).toEqual(expected());

  const late = ["acme", "bolt"].flatMap((tenant) => arrived(daysOfEvents(tenant, FROM, 12, 1), 60));
  events = [...events, ...late];
  await world.insert(late);
  const { runId, differing } = await follow(world);
  expect(differing).toBe(24);
  expect((await workOff(world, runId)).state).toBe("done");
  expect(await stored()).toEqual(expected());

  const audited = await run(world.env, "audit", "--deep", ...range, "--json");
  expect([audited.code, JSON.parse(audited.stdout)]).toMatchObject([
    0,
    { audit: { days: { checked: 24, equal: 24, drifted: 0 } } },
  ]);

  const manifest = join(folder, "usage.yaml");
  await writeFile(manifest, manifestText(timeless(await world.services.keeper.manifest("usage"))));
  const verified = await run(world.env, "indexes", "verify", "--manifest", manifest, "--engine", "mongodb", "--json");
  expect(verified).toMatchObject({ code: 0, stderr: expect.not.stringContaining("error") as string });
  expect((JSON.parse(verified.stdout) as VerifyReport).ok).toBe(true);
});
