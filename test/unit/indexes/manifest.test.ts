import { expect, test } from "vitest";
import { usageManifest } from "../../../manifests/usage.ts";
import { UsageError } from "../../../src/errors.ts";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { definitionTail } from "../../../src/indexes/engines/postgres/ddl.ts";
import { refusal } from "../../support/refusal.ts";

const fields = { tenant_id: "tenant_id", user_id: "user_id", created_at: "created_at" };
const usage = usageManifest({ collection: "token_usage_events", fields });

test("the usage manifest is clean, and every index says which queries it serves", () => {
  expect(() => lintManifest(usage)).not.toThrow();
  const all = [...Object.values(usage.mongo ?? {}), ...Object.values(usage.postgres ?? {})].flat();
  expect(all).toHaveLength(8);
  for (const { name, contracts } of all) expect(contracts?.length, name).toBeGreaterThan(0);
});

test("columns that an unchanged rebuild updates are in no index, so that the update stays cheap", () => {
  const text = Object.values(usage.postgres ?? {})
    .flat()
    .map(definitionTail)
    .join("\n");
  expect(text).not.toMatch(/read_at|state/);
});

test("collection and field names come from the settings", () => {
  const mapped = usageManifest({
    collection: "llm_log",
    fields: { tenant_id: "org.id", user_id: "member", created_at: "ts" },
    schema: "usage",
  });
  expect(mapped.mongo?.["llm_log"]?.map(({ keys }) => keys)).toEqual([
    [
      ["org.id", 1],
      ["ts", -1],
    ],
    [
      ["org.id", 1],
      ["member", 1],
      ["ts", -1],
    ],
  ]);
  expect(Object.keys(mapped.postgres ?? {})).toEqual(["usage.daily_usage_cache"]);
  expect(JSON.stringify(mapped.mongo)).not.toMatch(/tenant_id|created_at/);
});

test("a definition becomes SQL with quoted names, options in the server's order", () => {
  expect(
    definitionTail({
      name: "x",
      why: "test",
      method: "btree",
      columns: [
        "createdAt",
        { col: "a", collate: "C", opclass: "text_ops", desc: true, nulls: "last" },
        { expr: "lower(b)" },
      ],
      include: ["amount"],
      nullsNotDistinct: true,
      with: { fillfactor: 70 },
      where: "c = 'x'",
    }),
  ).toBe(
    `USING btree ("createdAt", "a" COLLATE "C" "text_ops" DESC NULLS LAST, (lower(b))) INCLUDE ("amount") NULLS NOT DISTINCT WITH ("fillfactor" = 70) WHERE (c = 'x')`,
  );
});

test("a bad manifest is refused with every fault and its place", () => {
  const bad: Manifest = {
    version: 1,
    project: "bad",
    mongo: {
      events: [
        { name: "a", why: "x", keys: [["2024", 1]] },
        { name: "a", why: "", keys: [] },
        { name: "ttl", why: "x", keys: [["a", 1], ["b", 1]], expireAfterSeconds: -1 }, // prettier-ignore
        { name: "both", why: "x", keys: [["a", 1]], sparse: true, partial: { a: 1 } },
      ],
      _index_ledger: [],
    },
    postgres: {
      cache: [],
      "public.t": [
        { name: "n".repeat(64), why: "x", columns: ["a"] },
        { name: "none", why: "x", columns: [] },
        { name: "a__tallyman_old", why: "x", columns: ["a"] },
      ],
    },
  };
  const message = refusal(UsageError, () => lintManifest(bad));
  for (const fault of [
    'mongo.events.a: field "2024" is an integer',
    "mongo.events.a: declared twice",
    "mongo.events.a: say why it exists",
    "mongo.events.a: no keys",
    "mongo.events.ttl: expireAfterSeconds needs a single key",
    "mongo.events.ttl: expireAfterSeconds must be an integer",
    "mongo.events.both: sparse and partial exclude each other",
    "postgres.cache: write it as schema.table",
    ": the name has 64 bytes; PostgreSQL cuts names at 63",
    "postgres.public.t.none: no columns",
    "mongo._index_ledger: this collection is the keeper's own",
    "postgres.public.t.a__tallyman_old: the keeper uses this ending during a replacement",
  ]) {
    expect(message).toContain(fault);
  }
});
