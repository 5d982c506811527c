import type { Document } from "mongodb";
import { expect, test } from "vitest";
import { Services } from "../../../src/services.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event, sampleEvents } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { multiplied, watchedReader } from "../../support/watched-reader.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-03-01";
const at = (day: string) => new Date(`${day}T12:00:00Z`);

const world = useWorld("unsummable");

test("a day that cannot be summed fails alone: the others of its chunk are stored, it is dirty and listed", async () => {
  const day = (n: number, differs: Document) =>
    event({ tenant_id: "past", created_at: at(`2026-04-0${n}`), ...differs });
  await world.insert([day(1, {}), day(2, { prompt_tokens: 1e12 }), day(2, { prompt_tokens: 1e12 }), day(3, {})]);
  const source = await world.services.source();
  const honest = source.events;
  const rebuildPast = () => rebuild(world, { from: "2026-04-01", to: "2026-04-03", tenants: ["past"] });

  Object.assign(source, { events: watchedReader(world, multiplied("4611687")).reader });
  const run = await rebuildPast().finally(() => Object.assign(source, { events: honest }));
  expect(run).toMatchObject({
    state: "failed",
    error: "0 chunks and 1 tenant-days failed",
    chunks: { planned: 1, done: 1, failed: 0 },
    days: { planned: 3, written: 2, unchanged: 0, stale: 0, refused: 0, failed: 1 },
    sourceEvents: 2,
  });
  expect([...(await storedRows(world.pool)).keys()]).toEqual(["past|2026-04-01", "past|2026-04-03"]);
  const dirty = await world.pool.query(
    "SELECT tenant_id, date::text, not_before > found_at + interval '14 minutes' AS waits FROM usage_dirty",
  );
  expect(dirty.rows).toEqual([{ tenant_id: "past", date: "2026-04-02", waits: true }]);
  const error = "the sum of prompt tokens is past 64 bits";
  expect(await (await world.services.runs()).problems(run.id)).toEqual([
    {
      number: 0,
      state: "done",
      error: null,
      failedDays: [{ tenant: "past", date: "2026-04-02", error }],
      refusedDays: [],
    },
  ]);

  // Without the multiplication all three are other numbers than before.
  expect(await rebuildPast()).toMatchObject({ state: "done", days: { failed: 0 } });
  expect((await world.pool.query("SELECT 1 FROM usage_dirty")).rows).toEqual([]);
});

test("many tenants asked about at once leave no warning of a leak", async () => {
  await world.insert(sampleEvents(100, (n) => ({ tenant_id: `plan${n}`, created_at: at(DAY) })));
  const warnings: string[] = [];
  const collect = (warning: Error) => warnings.push(warning.name);
  // A process that has just started: its first queries wait for connections, and listen there too.
  const services = new Services(world.config, world.services.log);
  process.on("warning", collect);
  try {
    const tenants = Array.from({ length: 100 }, (_, n) => `plan${n}`);
    await rebuild({ ...world, services }, { from: DAY, to: DAY, tenants });
  } finally {
    process.off("warning", collect);
    await services.close();
  }
  expect(warnings).toEqual([]);
});
