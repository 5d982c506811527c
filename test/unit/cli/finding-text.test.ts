import { describe, expect, test } from "vitest";
import { findingLines, findingNote, INVISIBLE_TEXTS } from "../../../src/cli/finding-text.ts";
import { malformedTable } from "../../../src/cli/malformed-text.ts";
import { fact } from "../../../src/cli/table.ts";
import { needsOperator, type Finding, type FindingKind } from "../../../src/usage/finding.ts";
import { INVISIBLE_REASONS } from "../../../src/usage/invisible.ts";
import { MALFORMED_REASONS, notExamined, type MalformedPlace } from "../../../src/usage/malformed.ts";

const NONE: Finding = {
  kind: "otherDays",
  collection: "events",
  sampled: 1_000,
  invisible: [],
  absent: [],
  present: [],
  days: null,
  error: null,
};
const KINDS: Readonly<Record<FindingKind, boolean>> = {
  emptyCollection: false,
  invisible: true,
  otherDays: false,
  beforeHorizon: false,
  fieldAbsent: false,
  notSampled: true,
};

test.each(Object.entries(KINDS) as [FindingKind, boolean][])("a finding %s has lines and a note", (kind, isFault) => {
  const lines = findingLines({ ...NONE, kind, absent: [{ field: "cost", path: "usd" }] });
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) expect(line).toMatch(/^\S.*[.?]$/);
  expect(findingNote({ ...NONE, kind })).toMatch(/^\w[\w -]+$/);
  expect(needsOperator({ ...NONE, kind })).toBe(isFault);
  expect(needsOperator(null)).toBe(false);
});

describe("a finding of invisible events", () => {
  test.each(INVISIBLE_REASONS)("names the reason %s, the number, and one _id", (reason) => {
    const invisible = [{ reason, events: 1_234, found: "string", sampleId: '"e1"' }];
    const lines = findingLines({ ...NONE, kind: "invisible", invisible });
    expect(lines[0]).toBe("no tenant-day: rebuilds cannot see 1,234 of the 1,000 sampled events of events.");
    expect(lines[1]).toMatch(/^1,234 .*, for example _id "e1"\.$/);
    expect(lines[1]).toContain(INVISIBLE_TEXTS[reason]);
    expect(lines[1]?.includes("(string)")).toBe(reason === "tenantType" || reason === "createdAtType");
  });

  test("names a field that no event has, what events have instead, and the setting", () => {
    const absent = [{ field: "tenant_id", path: "org.id" }] as const;
    const present = ["org.tenant", "cost"];
    const text = findingLines({ ...NONE, kind: "invisible", absent, present }).join("\n");
    expect(text).toContain("None of the 1,000 has the field org.id, read as tenant_id.");
    expect(text).toContain("The newest events have: org.tenant, cost.");
    expect(text).toContain("EVENTS_FIELDS");
  });
});

test("an absent field says what it does to every row", () => {
  const absent = [
    { field: "cost", path: "usd" },
    { field: "model", path: "llm" },
    { field: "total_tokens", path: "sum" },
  ] as const;
  const lines = findingLines({ ...NONE, kind: "fieldAbsent", absent });
  expect(lines.slice(0, 3)).toEqual([
    "None of the 1,000 has the field usd, read as cost, so every row has it as 0.",
    "None of the 1,000 has the field llm, read as model, so every row has it as __unknown__.",
    "None of the 1,000 has the field sum, read as total_tokens.",
  ]);
});

test("a fact has its further lines below the first", () => {
  expect(fact("finding", ["one", "two"])).toEqual(["finding    one", "           two"]);
});

const place: MalformedPlace = {
  tenant: "acme",
  field: "cost",
  reason: "wrongType",
  found: "string",
  events: 3,
  days: 2,
  lastDay: "2026-03-02",
  sampleId: '"e1"',
};

test("malformed places are a table with each reason in words; the table ends after twenty of them", () => {
  const text = (places: readonly MalformedPlace[]) => malformedTable(places).join("\n");
  expect(malformedTable([])).toEqual([]);
  for (const reason of MALFORMED_REASONS) {
    expect(text([{ ...place, reason }])).toMatch(
      /\nacme +cost +(of a wrong type|NaN|negative|above 10\^12|a fraction) \(string\) +3 +2 +2026-03-02 +"e1"$/,
    );
  }
  const unknown = text([{ ...place, ...notExamined(5) }]);
  expect(unknown).toMatch(/\nacme +not examined +- +5 +2 +2026-03-02 +-$/);
  const many = text(Array.from({ length: 25 }, (_, n) => ({ ...place, tenant: `t${n}` })));
  expect(many).toMatch(/\nt19 .*\n\.\.\. and 5 more; --json lists them$/);
});
