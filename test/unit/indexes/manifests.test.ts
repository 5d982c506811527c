import { describe, expect, test } from "vitest";
import { countOf, documents, type SampleShape } from "../../../manifests/data/fill.ts";
import { SAMPLE_DATA } from "../../../manifests/data/index.ts";
import { MANIFESTS } from "../../../manifests/index.ts";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { manifestWarnings } from "../../../src/indexes/manifest/warnings.ts";

const names = {
  collection: "token_usage_events",
  fields: { tenant_id: "tenant_id", user_id: "user_id", created_at: "created_at" },
};
const manifestOf = (name: string): Manifest => (MANIFESTS[name] as (typeof MANIFESTS)[string])(names);
const all = Object.keys(MANIFESTS);
const indexesOf = ({ mongo = {}, postgres = {} }: Manifest) =>
  [...Object.values(mongo), ...Object.values(postgres)].flat();
/** "target.name" of those of a phase that are built here. */
function ofPhase({ mongo = {}, postgres = {} }: Manifest, phase: number): string[] {
  return Object.entries({ ...mongo, ...postgres }).flatMap(([target, indexes]) =>
    indexes.filter((index) => (index.phase ?? 1) === phase && !index.checked).map(({ name }) => `${target}.${name}`),
  );
}

test.each(all)(
  "%s has neither fault nor doubt, and every index that it builds says which queries it serves",
  (name) => {
    const manifest = manifestOf(name);
    expect(() => lintManifest(manifest)).not.toThrow();
    expect(manifestWarnings(manifest)).toEqual([]);
    const built = indexesOf(manifest).filter(({ checked }) => !checked);
    expect(built).not.toEqual([]);
    for (const index of built) {
      expect(index.contracts?.length, index.name).toBeGreaterThan(0);
    }
  },
);

test.each(["earlybird", "petbuddy"])("an index of %s has the name that MongoDB gives its keys, or a note", (name) => {
  for (const [collection, indexes] of Object.entries(manifestOf(name).mongo ?? {})) {
    for (const index of indexes) {
      const given = index.keys.map(([field, kind]) => `${field}_${kind}`).join("_");
      expect(index.name === given || index.note !== undefined, `${collection}.${index.name}`).toBe(true);
    }
  }
});

describe("the manifests declare every index of their source documents", () => {
  test("usage: the indexes of the events and of the cache", () => {
    expect(indexesOf(manifestOf("usage")).map(({ name }) => name)).toEqual([
      "idx_tenant_date",
      "idx_tenant_user_date",
      "daily_usage_cache_pkey",
      "idx_daily_usage_cache_date",
      "idx_daily_usage_cache_date_cached_at",
      "idx_daily_usage_cache_user_jsonb",
      "idx_daily_usage_cache_model_jsonb",
      "idx_daily_usage_cache_provider_jsonb",
    ]);
  });

  test("earlybird: twelve in the first phase and seven later; {id, status} as a unique id", () => {
    expect(ofPhase(manifestOf("earlybird"), 1)).toEqual([
      "users.id_1",
      "users.email_1",
      "users.role_1",
      "orders.user_id_1",
      "orders.status_1_delivery_date_-1",
      "orders.delivery_date_1",
      "subscriptions_v2.status_1",
      "subscriptions_v2.customer_id_1",
      "subscriptions_v2.id_1",
      "products.id_1",
      "delivery_statuses.order_id_1",
      "delivery_statuses.customer_id_1_delivery_date_-1",
    ]);
    expect(ofPhase(manifestOf("earlybird"), 2)).toEqual([
      "products.category_1",
      "delivery_statuses.customer_id_1",
      "leads.status_1_created_at_-1",
      "leads.id_1",
      "billing_records.customer_id_1",
      "billing_records.period_1_status_1",
      "suppliers.email_1",
    ]);
    expect(ofPhase(manifestOf("earlybird"), 3)).toEqual(["orders.user_id_1_status_1"]);
  });

  test("petbuddy: 8, 4 and 6 indexes, and the two missing ones of the integrations", () => {
    const { mongo = {} } = manifestOf("petbuddy");
    expect(Object.entries(mongo).map(([collection, indexes]) => [collection, indexes.length])).toEqual([
      ["contacts", 8],
      ["messages", 4],
      ["appointments", 6],
      ["companyintegrations", 3],
    ]);
  });

  test("justoai: the indexes in the phases of its plan; those it has already are only checked", () => {
    const justoai = manifestOf("justoai");
    expect(ofPhase(justoai, 1)).toEqual([
      "public.ReportExecution.idx_report_execution_workspace_date",
      "public.WebhookDelivery.idx_webhook_delivery_retry",
    ]);
    expect(ofPhase(justoai, 2)).toEqual([
      "public.CreditTransaction.idx_credit_transaction_workspace_type",
      "public.ProcessBatchUpload.idx_batch_upload_workspace_status",
    ]);
    expect(ofPhase(justoai, 3)).toEqual([
      "public.Process.idx_process_workspace_number",
      "public.ChatSession.idx_chat_session_workspace_date",
      "public.GlobalLog.idx_global_log_workspace_timestamp",
      "public.RateLimitStore.idx_rate_limit_key_reset",
    ]);
    expect(indexesOf(justoai).filter(({ checked }) => checked)).toHaveLength(26);
  });
});

describe("sample data", () => {
  const shape: SampleShape = { rows: 10_000, seed: 1, today: new Date("2026-06-15T00:00:00Z") };
  const of = (data: string, collection: string, from: number, count: number, seed = 1) => {
    const found = SAMPLE_DATA[data]?.collections[collection];
    if (!found) throw new Error(`no ${collection}`);
    return documents(found, collection, from, count, { ...shape, seed });
  };

  test("every manifest has sample data for all its collections and tables", () => {
    for (const name of all) {
      const { mongo = {}, postgres = {} } = manifestOf(name);
      const data = SAMPLE_DATA[name];
      expect(Object.keys(data?.collections ?? {}).sort()).toEqual(Object.keys(mongo).sort());
      const tables = Object.keys(data?.tables ?? {}).map((table) => `public.${table.replaceAll('"', "")}`);
      expect(tables.sort()).toEqual(Object.keys(postgres).sort());
    }
  });

  test("a document depends on the seed and its number, not on earlier documents", () => {
    const orders = of("earlybird", "orders", 0, 100);
    expect(of("earlybird", "orders", 50, 50)).toEqual(orders.slice(50));
    expect(of("earlybird", "orders", 0, 100, 2)).not.toEqual(orders);
  });

  test("a user has fifty orders, as in the document's example", () => {
    const { length } = of("earlybird", "orders", 0, countOf(SAMPLE_DATA["earlybird"] as never, "orders", shape.rows));
    const users = new Set(of("earlybird", "orders", 0, length).map(({ user_id }) => user_id as string));
    expect(length / users.size).toBeGreaterThan(48);
    expect(length / users.size).toBeLessThan(53);
  });

  test("business keys are unique, and so are addresses where present", () => {
    for (const collection of ["users", "subscriptions_v2", "products", "leads"]) {
      const ids = of("earlybird", collection, 0, 2_000).map(({ id }) => id as string);
      expect(new Set(ids).size, collection).toBe(ids.length);
    }
    const emails = of("earlybird", "users", 0, 2_000).flatMap(({ email }) =>
      email === undefined ? [] : [email as string],
    );
    expect(new Set(emails).size).toBe(emails.length);
    expect(emails.length).toBeLessThan(2_000);
  });
});
