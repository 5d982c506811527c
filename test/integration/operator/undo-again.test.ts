import { expect, test } from "vitest";
import { undoableDays } from "../../../src/db/postgres/cache/undo.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { runInline } from "../../../src/execution/inline.ts";
import { planChunks } from "../../../src/usage/plan.ts";
import { joinTenantDays } from "../../../src/usage/spans.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { rebuild } from "../../support/rebuild.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";

const RANGE = { from: "2026-03-01", to: "2026-03-02" };

const world = useWorld("undo_again");

async function undo(id: string): Promise<Run> {
  const { services } = world;
  const days = await undoableDays(await services.pool(), id);
  const wish = { kind: "undo", ...RANGE, inline: true, requestedBy: "test", undoes: id, dedupeBy: id } as const;
  const chunks = planChunks(joinTenantDays(days));
  return runInline(services, wish, new AbortController().signal, () => undefined, chunks);
}

test("a run is undone once: equal rows that another run has made since stay", async () => {
  await world.insert(daysOfEvents("acme", RANGE.from, 2, 3));
  const first = await rebuild(world, RANGE);
  expect((await undo(first.id)).days).toMatchObject({ written: 2, refused: 0 });
  expect(await storedRows(world.pool)).toEqual(new Map());

  const second = await rebuild(world, RANGE);
  const rows = await storedRows(world.pool);
  expect([...rows.values()].map(({ revision }) => revision)).toEqual(["1", "1"]);
  expect((await undo(first.id)).days).toMatchObject({ planned: 2, written: 0, refused: 2 });
  expect(await storedRows(world.pool)).toEqual(rows);
  expect((await undo(second.id)).days).toMatchObject({ written: 2, refused: 0 });
});
