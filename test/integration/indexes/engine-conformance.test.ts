/** Both engines behave as the keeper relies on it. */
import { FORGET } from "./scratch.ts";
import type { MongoIndex, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { conforms, NAME } from "./engine-conformance.ts";

const common = { name: NAME, why: "test" } as const;

const onTable = (index: Omit<PostgresIndex, keyof typeof common>) =>
  ({ version: 1, project: "test", postgres: { "public.items": [{ ...common, ...index }] } }) as const;

conforms("PostgreSQL", {
  target: "public.items",
  manifests: {
    plain: onTable({ columns: ["a"], where: "b > 0 AND c IN ('x', 'y')" }),
    other: onTable({ columns: [{ col: "b", desc: true }], include: ["a"] }),
    unique: onTable({ columns: ["a"], unique: true }),
  },
  makesTargets: false,
  leavesInvalid: true,
  async reset({ sql }) {
    await sql.query(`DROP TABLE IF EXISTS items; ${FORGET}`);
  },
  async makeTarget({ sql }) {
    await sql.query("CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int, c varchar(9))");
  },
  async addDuplicates({ sql }) {
    await sql.query("INSERT INTO items (a, b, c) VALUES (1, 1, 'x'), (1, 2, 'x')");
  },
});

const onCollection = (index: Omit<MongoIndex, keyof typeof common>) =>
  ({ version: 1, project: "test", mongo: { items: [{ ...common, ...index }] } }) as const;

conforms("MongoDB", {
  target: "items",
  manifests: {
    plain: onCollection({ keys: [["a", 1]], expireAfterSeconds: 3_600 }),
    other: onCollection({ keys: [["b", -1]], partial: { c: { $gt: 1 } } }),
    unique: onCollection({ keys: [["a", 1]], unique: true }),
    attribute: onCollection({ keys: [["a", 1]], expireAfterSeconds: 7_200 }),
  },
  makesTargets: true,
  leavesInvalid: false,
  async reset({ mongo }) {
    await mongo.dropDatabase();
  },
  async makeTarget({ mongo }) {
    await mongo.createCollection("items");
  },
  async addDuplicates({ mongo }) {
    await mongo.collection("items").insertMany([{ a: 1 }, { a: 1 }]);
  },
});
