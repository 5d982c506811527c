/** Pages of arrived events in the order of their ids. */
import { ObjectId, UUID } from "mongodb";
import { beforeEach, expect, test } from "vitest";
import { ArrivalReader, type ScanStart } from "../../src/db/mongo/arrivals.ts";
import { eventsOf } from "../support/event-collection.ts";
import { useMongoWorld } from "../support/mongo-world.ts";
import { event } from "../support/sample.ts";

const SECOND = Date.UTC(2026, 2, 1) / 1_000;
const TODAY = "2026-03-10";

const world = useMongoWorld("arrivals");
beforeEach(async () => {
  await world.events.deleteMany({});
});
const { signal } = new AbortController();
const newReader = () => new ArrivalReader(eventsOf(world), "UTC");

/** The n-th id that is made in a second. */
const idIn = (second: number, n: number) =>
  new ObjectId(second.toString(16).padStart(8, "0") + n.toString(16).padStart(16, "0"));
const noon = (day: number) => new Date(Date.UTC(2026, 2, day, 12));

/** Reads pages to the end. @returns the tenant-days of each page, sorted */
async function pages(start: ScanStart, days: number) {
  const reader = newReader();
  const read: { days: string[]; events: number }[] = [];
  for (let next: ScanStart | undefined = start; next;) {
    const page = await reader.page(next, TODAY, signal, days);
    read.push({ days: page.days.map(({ tenant, date }) => `${tenant} ${date}`).sort(), events: page.events });
    next = page.next;
  }
  return read;
}

test("pages follow each other without a gap or an overlap, though all ids are of one second", async () => {
  // 70 events of 35 tenant-days, inserted against the order of their ids.
  const events = Array.from({ length: 70 }, (_, n) =>
    event({ _id: idIn(SECOND, n), tenant_id: `t${Math.floor(n / 2)}`, created_at: noon(1) }),
  );
  await world.insert(events.toReversed());
  const read = await pages({ since: SECOND * 1_000 + 999 }, 10);
  expect(read.map((page) => page.events)).toEqual([19, 18, 18, 15]);
  expect(new Set(read.flatMap(({ days }) => days)).size).toBe(35);
});

test("a scan begins with the second of its instant, and ends at the highest id", async () => {
  const seconds = [0, SECOND - 1, SECOND, SECOND + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
  await world.insert(
    seconds.map((second, n) => event({ _id: idIn(second, n), tenant_id: `t${n}`, created_at: noon(2) })),
  );
  await world.insert([event({ _id: new UUID(), tenant_id: "foreign" }), event({ _id: "1", tenant_id: "foreign" })]);
  const [page] = await pages({ since: SECOND * 1_000 + 500 }, 50);
  expect(page?.days).toEqual([2, 3, 4, 5, 6].map((n) => `t${n} 2026-03-02`));
});

test("the events of a tenant-day are counted in every type of the tenant's id, without lookalikes", async () => {
  const at = { created_at: noon(3) };
  const others = [
    event({ tenant_id: ["5"], ...at }),
    event({ tenant_id: "5", created_at: [noon(3)] }),
    event({ tenant_id: 5.5, ...at }),
  ];
  await world.insert([event({ tenant_id: "5", ...at }), event({ tenant_id: 5, ...at }), ...others]);
  const counted = await newReader().count("5", "2026-03-03", { maxTimeMs: 600_000, signal });
  expect(counted).toBe(2n);
});
