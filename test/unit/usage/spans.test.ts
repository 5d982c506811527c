import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { listTenantDays } from "../../../src/usage/plan.ts";
import { joinTenantDays } from "../../../src/usage/spans.ts";
import { addDays } from "../../support/civil-day.ts";
import { holds } from "../../support/property.ts";

const day = (tenant: string, date: string) => ({ tenant, date });

describe("joinTenantDays", () => {
  test("joins days that follow each other, across months and leap days, and no others", () => {
    const days = [
      day("acme", "2024-02-28"),
      day("acme", "2024-02-29"),
      day("acme", "2024-03-01"),
      day("acme", "2024-03-03"),
      day("other", "2024-03-04"), // the next day, but another tenant's
      day("other", "2024-03-05"),
    ];
    expect(joinTenantDays(days)).toEqual([
      { tenant: "acme", from: "2024-02-28", to: "2024-03-01" },
      { tenant: "acme", from: "2024-03-03", to: "2024-03-03" },
      { tenant: "other", from: "2024-03-04", to: "2024-03-05" },
    ]);
    expect(joinTenantDays([])).toEqual([]);
  });

  test("leaves what it is given as it is", () => {
    const days = Object.freeze([Object.freeze(day("acme", "2024-02-28")), Object.freeze(day("acme", "2024-02-29"))]);
    expect(joinTenantDays(days)).toEqual([{ tenant: "acme", from: "2024-02-28", to: "2024-02-29" }]);
  });

  test("the spans hold exactly the given days, in their order, and no two of them could be one", () => {
    const sets = fc.uniqueArray(fc.record({ tenant: fc.constantFrom("a", "b", "ab", "é", ""), number: fc.nat(40) }), {
      selector: ({ tenant, number }) => `${tenant}|${number}`,
      maxLength: 40,
    });
    holds(
      fc.property(sets, (set) => {
        const days = set
          .map(({ tenant, number }) => day(tenant, addDays("2024-02-20", number)))
          .sort((a, b) => (`${a.tenant}|${a.date}` < `${b.tenant}|${b.date}` ? -1 : 1));
        const spans = joinTenantDays(days);
        expect(listTenantDays(spans)).toEqual(days);
        for (const [index, { tenant, from }] of spans.entries()) {
          const before = spans[index - 1];
          expect(before?.tenant === tenant && from <= addDays(before.to, 1)).toBe(false);
        }
      }),
    );
  });
});
