import { expect, test } from "vitest";
import { withMongoDatabase } from "../../../dev/servers.ts";

test.each([
  ["mongodb://127.0.0.1:4711/?directConnection=true", "mongodb://127.0.0.1:4711/usage?directConnection=true"],
  ["mongodb://127.0.0.1:4711", "mongodb://127.0.0.1:4711/usage"],
  ["mongodb://a:1,b:2/before?replicaSet=rs", "mongodb://a:1,b:2/usage?replicaSet=rs"],
  // Credentials are looked up in the database of the path, unless told otherwise.
  ["mongodb://me:pw@a/accounts", "mongodb://me:pw@a/usage?authSource=accounts"],
  ["mongodb://me:pw@a/?tls=true", "mongodb://me:pw@a/usage?tls=true&authSource=admin"],
  ["mongodb+srv://me:pw@a/x?authSource=y", "mongodb+srv://me:pw@a/usage?authSource=y"],
])("%s with the database usage is %s", (uri, expected) => {
  expect(withMongoDatabase(uri, "usage")).toBe(expected);
});

test("something else is refused", () => {
  expect(() => withMongoDatabase("postgres://a/b", "usage")).toThrow("must begin with mongodb://");
});
