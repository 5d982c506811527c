import { expect, test } from "vitest";
import { plainPipeline, strictPipeline } from "../../../src/db/mongo/pipeline.ts";
import { ungrouped } from "../../../src/db/mongo/totals.ts";
import { EVENT_FIELDS, type FieldMap } from "../../../src/usage/event.ts";

const FIELDS = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const RANGE = { tenant: "acme", start: Date.UTC(2026, 2, 1), end: Date.UTC(2026, 2, 2) };

test.each([
  ["plain", plainPipeline],
  ["strict", strictPipeline],
] as const)("the %s pipeline without keys is the same in all but its key", (_, pipeline) => {
  const [match, group] = pipeline(RANGE, FIELDS) as [object, { $group: object }];
  expect(ungrouped(pipeline(RANGE, FIELDS))).toEqual([match, { $group: { ...group.$group, _id: {} } }]);
});
