/** The examples of docs/indexes-from.md are manifests without a fault, and declare what the tables there say. */
import { expect, test } from "vitest";
import { definitionTail } from "../../../src/indexes/engines/postgres/ddl.ts";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import { parseManifest } from "../../../src/indexes/manifest/load.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { snippets } from "../../support/snippets.ts";

const PAGE = "docs/indexes-from.md";

function example(heading: string): Manifest {
  const [yaml, ...others] = snippets(PAGE, heading, "yaml");
  if (yaml === undefined || others.length > 0) throw new Error(`${heading} has ${others.length} further examples`);
  const manifest = parseManifest(yaml, `${PAGE} (${heading}).yaml`);
  lintManifest(manifest);
  return manifest;
}

test.each(["Mongoose", "Prisma", "Rails", "Sequelize and Knex"])("the example for %s has no fault", (heading) => {
  const { mongo = {}, postgres = {} } = example(heading);
  expect([...Object.values(mongo), ...Object.values(postgres)].flat().length).toBeGreaterThan(1);
});

test("the statements are those that the frameworks write", () => {
  const tails = (heading: string) =>
    Object.values(example(heading).postgres ?? {}).flatMap((indexes) => indexes.map(definitionTail));
  expect(tails("Prisma")).toEqual([
    'USING btree ("customerId", "createdAt" DESC)',
    'USING btree ("number")',
    'USING gin ("payload" "jsonb_path_ops")',
    'USING btree ("id")',
  ]);
  expect(tails("Rails")).toEqual([
    'USING btree ("account_id", "created_at" DESC) INCLUDE ("total") WHERE (deleted_at IS NULL)',
    'USING hnsw ("embedding" "vector_cosine_ops") WITH ("m" = 16, "ef_construction" = 64)',
  ]);
});
