/** `tallyman indexes verify`, as a person and a script meet it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { manifestText } from "../../../src/indexes/manifest/load.ts";
import type { VerifyReport } from "../../../src/indexes/verify/verify.ts";
import { start, type Ended } from "../../support/process.ts";
import { useWorld } from "../../support/world.ts";
import { timeless } from "./timeless.ts";

const world = useWorld("verify");
let folder: string;
/** the usage manifest, of whose contracts none judges how quick this machine is */
let manifest: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tallyman-verify-"));
  manifest = join(folder, "usage.yaml");
  await writeFile(manifest, manifestText(timeless(await world.services.keeper.manifest("usage"))));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const verify = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  start({ ...world.env, ...env }, ["indexes", "verify", ...args]).ended;

test("verify exits with 2 while indexes are missing and with 0 when they could be used", async () => {
  const before = await verify(["--engine", "postgres"]);
  expect(before.code).toBe(2);
  expect(before.stderr).toMatch(/^usage: postgres .*\npostgres public\.daily_usage_cache: /);
  expect(before.stdout).toMatch(/idx_daily_usage_cache_date +tenants of a day +NOT OK: cannot use .*there is no index/);
  expect(before.stdout).toMatch(/\d+ not as promised\.\n$/);

  expect((await start(world.env, ["indexes", "ensure", "--allow-blocking"]).ended).code).toBe(0);
  const lasting = ["--manifest", manifest];
  const [after, json] = await Promise.all([verify(lasting), verify([...lasting, "--json"])]);
  expect(after.code, after.stdout).toBe(0);
  expect(after.stdout).toMatch(/All as promised\.\n$/);
  expect(after.stderr.startsWith(`${manifest}: mongodb `)).toBe(true);
  expect(after.stderr).toMatch(/^.*\nmongodb token_usage_events: /);
  const report = JSON.parse(json.stdout) as VerifyReport;
  expect(report.ok).toBe(true);
  expect(report.entries.find(({ index }) => index === "idx_tenant_date")).toMatchObject({
    engine: "mongodb",
    target: "token_usage_events",
    ok: true,
    mode: "uses",
  });
});

test("verify takes one index of one target, and reports a selection without contracts", async () => {
  const one = await verify(["--json", "--target", "public.daily_usage_cache", "--index", "daily_usage_cache_pkey"]);
  const { entries } = JSON.parse(one.stdout) as VerifyReport;
  expect(new Set(entries.map(({ index }) => index))).toEqual(new Set(["daily_usage_cache_pkey"]));
  const none = await verify(["--index", "nothing"]);
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("nothing has no contract")]);
});

test("verify exits with 5 when a server is away", async () => {
  const url = new URL(world.env["DATABASE_URL"] as string);
  url.port = "1";
  const away = await verify(["--manifest", "justoai"], { DATABASE_URL: url.href });
  expect([away.code, away.stderr]).toEqual([5, expect.stringContaining("ECONNREFUSED")]);
});
