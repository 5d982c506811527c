import { Decimal128 } from "mongodb";
import { describe, expect, test } from "vitest";
import { differences, type StoredRow } from "../../support/differences.ts";
import { emptyDay, oracle, type Measures, type OracleDay } from "../../support/oracle.ts";
import { event } from "../../support/sample.ts";

const COLUMNS = '["user","model","provider","requests","tokens","prompt","completion","cost"]';

function object(sums: Map<string, Measures>): string {
  const members = [...sums].map(
    ([key, { requests, tokens, prompt, completion, cost }]) =>
      `${JSON.stringify(key)}: {"totalCost": ${cost}, "totalTokens": ${tokens}, "promptTokens": ${prompt}, ` +
      `"totalRequests": ${requests}, "completionTokens": ${completion}}`,
  );
  return `{${members.join(", ")}}`;
}

/** The row as PostgreSQL would print it. */
function stored(day: OracleDay): StoredRow {
  const rows = [...day.raw].map(
    ([key, sum]) =>
      `[${key.slice(1, -1)}, ${sum.requests}, ${sum.tokens}, ${sum.prompt}, ${sum.completion}, ${sum.cost}]`,
  );
  return {
    tenant_id: day.tenant,
    date: day.date,
    raw_data: `{"rows": [${rows.join(", ")}], "columns": ${COLUMNS}, "version": 1}`,
    aggregated_by_user: object(day.byUser),
    aggregated_by_model: object(day.byModel),
    aggregated_by_provider: object(day.byProvider),
    total_requests: String(day.totals.requests),
    total_tokens: String(day.totals.tokens),
    prompt_tokens: String(day.totals.prompt),
    completion_tokens: String(day.totals.completion),
    total_cost: day.totals.cost,
    source_events: String(day.sourceEvents),
    malformed_events: String(day.malformed),
  };
}

const { days } = oracle(
  [
    event({ user_id: "__proto__", cost: Decimal128.fromString("0.1") }),
    event({ user_id: 'qu"ote\n😀', model: "x", cost: Decimal128.fromString("2.5") }),
    event({ provider: 7 }),
  ],
  { timeZone: "UTC", now: new Date("2026-03-01T20:00:00Z") },
);
const day = days.get("acme|2026-03-01") as OracleDay;
const row = stored(day);

const changed = (name: keyof StoredRow, from: string | RegExp, to: string): StoredRow => {
  const value = row[name].replace(from, to);
  expect(value).not.toBe(row[name]);
  return { ...row, [name]: value };
};

describe("differences", () => {
  test("finds none in a true row, whatever the order of keys", () => {
    expect(differences(row, day)).toEqual([]);
    expect(differences({ ...row, total_cost: `${row.total_cost}00` }, day)).toEqual([]);
    const none = emptyDay("acme", "2026-03-02");
    expect(differences(stored(none), none)).toEqual([]);
  });

  test.each<[keyof StoredRow, string | RegExp, string, string]>([
    ["tenant_id", "acme", "Acme", 'tenant_id: stored "Acme", expected "acme"'],
    ["date", "03-01", "03-02", 'date: stored "2026-03-02"'],
    ["malformed_events", "1", "0", 'malformed_events: stored "0", expected "1"'],
    ["source_events", "3", "4", "total_requests is not source_events"],
    ["total_tokens", "45", "46", "columns.tokens: stored 46, expected 45"],
    ["total_cost", "2.601", "2.6010000000000001", "columns.cost: stored 2.6010000000000001, expected 2.601"],
    ["aggregated_by_user", '"__proto__"', '"other"', 'aggregated_by_user: lacks key "__proto__"'],
    ["aggregated_by_user", '"__proto__"', '"other"', 'aggregated_by_user: unexpected key "other"'],
    ["aggregated_by_model", '"totalCost": 2.5', '"totalCost": 2.4', "sum(aggregated_by_model).cost: stored 2.501"],
    ["aggregated_by_model", '"totalCost": 2.5', '"totalCost": 2.50', "expected a canonical JSON number"],
    ["aggregated_by_model", '"totalCost": 2.5', '"totalCost": 25e-1', "expected a canonical JSON number"],
    ["aggregated_by_model", '"totalCost": 2.5', '"totalCost": "2.5"', "expected a canonical JSON number"],
    ["aggregated_by_model", '"totalTokens": 15', '"totalTokens": 15.0', "expected a canonical JSON number"],
    ["aggregated_by_provider", '"totalCost"', '"cost"', "lacks totalCost"],
    ["aggregated_by_provider", '"totalCost"', '"cost"', 'unexpected ["cost"]'],
    ["aggregated_by_provider", /^.*$/s, "[]", "aggregated_by_provider: is [], expected an object"],
    ["aggregated_by_provider", /.$/s, "", "aggregated_by_provider: no JSON"],
    ["raw_data", '"version": 1', '"version": 2', "raw_data.version"],
    ["raw_data", '"user","model"', '"model","user"', "raw_data.columns"],
    ["raw_data", ", 15, 10, 5, 2.5]", ", 15, 10, 5]", "raw_data.rows"],
    ["raw_data", ", 15, 10, 5, 2.5]", ", 15, 10, 4, 2.5]", "sum(raw_data).completion: stored 14, expected 15"],
    ["raw_data", /(\["__proto__"[^\]]*\])/, "$1, $1", "twice"],
    ["raw_data", '"version": 1', '"version": 1, "omitted": 0', 'unexpected ["omitted"]'],
    ["raw_data", /"rows": \[.*\], "col/s, '"rows": null, "omitted": 3, "col', "omitted 3 rows, expected rows"],
  ])("in %s finds %s -> %s", (name, from, to, message) => {
    const found = differences(changed(name, from, to), day);
    expect(found.some((line) => line.includes(message))).toBe(true);
  });

  test("accepts omitted rows only where they are expected, with their number", () => {
    const omitted = changed("raw_data", /"rows": \[.*\], "col/s, '"rows": null, "omitted": 3, "col');
    expect(differences(omitted, day, { omittedRaw: true })).toEqual([]);
    expect(differences(row, day, { omittedRaw: true })).toEqual(["raw_data: has rows, expected them to be omitted"]);
    const wrong = { ...omitted, raw_data: omitted.raw_data.replace('"omitted": 3', '"omitted": 2') };
    expect(differences(wrong, day, { omittedRaw: true })).toEqual(["raw_data.omitted: stored 2, expected 3"]);
  });

  test("refuses -0", () => {
    const none = emptyDay("acme", "2026-03-02");
    none.byUser.set("a", { requests: 0n, tokens: 0n, prompt: 0n, completion: 0n, cost: "0" });
    const minus = stored(none);
    minus.aggregated_by_user = minus.aggregated_by_user.replace('"totalCost": 0', '"totalCost": -0');
    expect(differences(minus, none)).toEqual([
      'aggregated_by_user["a"].cost: is "number -0", expected a canonical JSON number',
    ]);
  });
});
