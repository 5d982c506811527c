import { beforeEach, expect, test } from "vitest";
import { stampAt } from "../../support/backends.ts";
import { cacheRow } from "../../support/cache-row.ts";
import { store, claimed } from "../../support/claimed.ts";
import { openedForEach } from "../../support/opened.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorldForEach } from "../../support/world.ts";
import { SteppedClock } from "../fencing/stepped-clock.ts";

const DAY = "2026-03-01";

const world = useWorldForEach("future");
const clock = openedForEach(() => SteppedClock.create(world.env["DATABASE_URL"]));
beforeEach(async () => {
  await clock.still("2026-03-10T12:00:00Z");
});

/** Stores one day of one token count as a run of its own would. */
async function write(tokens: number, readAt: string) {
  const own = await claimed(world, [{ tenant: "acme", from: DAY, to: DAY }]);
  return store(world, own, [cacheRow("acme", DAY, tokens, readAt)], [], 1);
}

const moveTo = (readAt: string) => world.pool.query("UPDATE daily_usage_cache SET read_at = $1", [readAt]);

test("a stored stamp more than five minutes ahead of the clock may be overwritten, five minutes may not", async () => {
  const now = await stampAt(world.pool);
  await write(1, await stampAt(world.pool, "5 minutes"));
  expect(await write(2, now)).toMatchObject({ written: 0, stale: 1 });
  expect(await write(1, now)).toMatchObject({ unchanged: 0, stale: 1 });

  const ahead = await stampAt(world.pool, "5 minutes 1 millisecond");
  await moveTo(ahead);
  expect(await write(1, now)).toMatchObject({ unchanged: 1, stale: 0 });
  const stored = async () => [...(await storedRows(world.pool)).values()];
  expect(await stored()).toMatchObject([{ revision: "1", read_at: "2026-03-10 12:00:00+00" }]);
  await moveTo(ahead);
  expect(await write(3, now)).toMatchObject({ written: 1, stale: 0 });
  expect(await stored()).toMatchObject([{ total_tokens: "3", revision: "2", read_at: "2026-03-10 12:00:00+00" }]);
});
