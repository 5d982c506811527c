import { Decimal128, Long } from "mongodb";
import { expect, test } from "vitest";
import { canonicalDecimal } from "../../support/exact-number.ts";
import { differences } from "../../support/differences.ts";
import { oracle, type Measures, type OracleDay } from "../../support/oracle.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event, type SampleEvent } from "../../support/sample.ts";
import { storedRows, type WholeRow } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-03-01";
const OTHER = "__other__";

const world = useWorld("limits", { MAX_KEYS: "4", MAX_RAW_ROWS: "6" });

const cost = (text: string) => Decimal128.fromString(text);

async function stored(tenant: string, events: SampleEvent[]): Promise<{ row: WholeRow; day: OracleDay }> {
  const own = events.map((fields) => event({ tenant_id: tenant, ...fields }));
  await world.insert(own);
  const run = await rebuild(world, { from: DAY, to: DAY, tenants: [tenant] });
  expect(run.state).toBe("done");
  const day = oracle(own, { timeZone: "UTC", now: new Date() }).days.get(`${tenant}|${DAY}`);
  const row = (await storedRows(world.pool)).get(`${tenant}|${DAY}`);
  if (!row || !day) throw new Error("no row");
  return { row, day };
}

/** What must be there when only the keys named are kept: the rest is one sum. */
function folded(all: Map<string, Measures>, kept: string[]): Map<string, Measures> {
  const other = { requests: 0n, tokens: 0n, prompt: 0n, completion: 0n, cost: "0" };
  for (const [key, sums] of all) {
    if (kept.includes(key)) continue;
    for (const name of ["requests", "tokens", "prompt", "completion"] as const) other[name] += sums[name];
    // Whole costs of 10^-18, so that the sum of the test is exact too.
    const units = (text: string) => BigInt(canonicalDecimal(`${text}e18`));
    other.cost = canonicalDecimal(`${units(other.cost) + units(sums.cost)}e-18`);
  }
  return new Map([...kept.map((key) => [key, all.get(key) as Measures] as const), [OTHER, other]]);
}

test("as many keys as are allowed stay as they are", async () => {
  const { row, day } = await stored(
    "fits",
    ["a", "b", "c", "d"].map((user_id) => ({ user_id })),
  );
  expect(differences(row, day)).toEqual([]);
  expect(day.byUser.size).toBe(4);
});

test("one key more folds the smallest by cost, then tokens, then key bytes, exactly", async () => {
  const { row, day } = await stored("folds", [
    { user_id: "tiny", cost: cost("0.000000000000000001"), prompt_tokens: 1_000_000 },
    { user_id: "rich", cost: cost("3") },
    { user_id: "😀", cost: cost("2"), prompt_tokens: 7 },
    { user_id: "\uFFFF", cost: cost("2"), prompt_tokens: 7 },
    { user_id: "few tokens", cost: cost("2"), prompt_tokens: 6 },
    { user_id: "many tokens", cost: cost("2"), prompt_tokens: Long.fromString("900000000000") },
  ]);
  // U+FFFF comes before the emoji in UTF-8, after it in UTF-16.
  const byUser = folded(day.byUser, ["rich", "many tokens", "\uFFFF"]);
  expect(byUser.get(OTHER)?.cost).toBe("4.000000000000000001");
  expect(differences(row, { ...day, byUser })).toEqual([]);
});

test("a user who is really named like the remainder merges into it, and is no key to keep", async () => {
  const { row, day } = await stored("merges", [
    { user_id: OTHER, cost: cost("100") },
    { user_id: "a", cost: cost("5") },
    { user_id: "b", cost: cost("4") },
    { user_id: "c", cost: cost("3") },
    { user_id: "d", cost: cost("2"), prompt_tokens: "bad" },
  ]);
  const byUser = folded(day.byUser, ["a", "b", "c"]);
  expect(byUser.get(OTHER)).toMatchObject({ requests: 2n, cost: "102" });
  expect(differences(row, { ...day, byUser })).toEqual([]);
  expect(row.malformed_events).toBe("1");
});

test("raw rows past the limit are omitted and counted, at the limit they are there", async () => {
  const of = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ user_id: `u${n % 4}`, model: `m${n >> 2}` }));
  const { row: at, day: atDay } = await stored("raw at", of(6));
  expect(differences(at, atDay)).toEqual([]);
  const { row: past, day: pastDay } = await stored("raw past", of(7));
  expect(differences(past, pastDay, { omittedRaw: true })).toEqual([]);
  expect(past.raw_data).toBe(
    '{"rows": null, "columns": ["user", "model", "provider", "requests", "tokens", "prompt", "completion", "cost"], "omitted": 7, "version": 1}',
  );
});

test("a document past 16 MiB keeps the largest keys that fit, though their number is allowed", async () => {
  const long = (n: number) => `${n}`.padEnd(6_000_000, "x");
  const users = [1, 2, 3].map((n) => ({
    user_id: long(n),
    cost: cost(`${n}`),
    created_at: new Date(`${DAY}T0${n}:00:00Z`),
  }));
  const { row, day } = await stored("long", users);
  const byUser = folded(day.byUser, [long(3), long(2)]);
  expect(differences(row, { ...day, byUser }, { omittedRaw: true })).toEqual([]);
});

test("numbers are stored as canonical decimals", async () => {
  const texts = ["0.10", "1E+3", "1E-18", "0E-10", "12.340000", "123456789012.345678901234567890123"];
  const { row } = await stored(
    "numbers",
    texts.map((text, n) => ({ user_id: "u", model: `m${n % 3}`, cost: cost(text) })),
  );
  expect(row.aggregated_by_user).toBe(
    '{"u": {"totalCost": 123456790024.785678901234567891, "totalTokens": 90, "promptTokens": 60, "totalRequests": 6, "completionTokens": 30}}',
  );
  expect(row.total_cost).toBe("123456790024.785678901234567891");
  expect(row.aggregated_by_model).toContain('"m0": {"totalCost": 0.1,');
  expect(row.raw_data).toContain('["u", "m1", "openai", 2, 30, 20, 10, 1012.34]');
});
