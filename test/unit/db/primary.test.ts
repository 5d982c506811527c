import type { Db, Document } from "mongodb";
import { expect, test } from "vitest";
import { requirePrimary } from "../../../src/db/mongo/client.ts";
import { EXIT } from "../../../src/errors.ts";

/** A connection on which `hello` was answered so. */
const answering = (hello: Document) => ({ command: () => Promise.resolve(hello) }) as unknown as Db;

test("a member that is not the primary is refused with its name and the fix", async () => {
  const secondary = { isWritablePrimary: false, secondary: true, setName: "rs", me: "db2:27017", primary: "db1:27017" };
  await expect(requirePrimary(answering(secondary))).rejects.toMatchObject({
    exitCode: EXIT.unreachable,
    message: expect.stringMatching(
      /^MONGODB_URI leads to db2:27017, which is not the primary.*without directConnection\.$/,
    ) as string,
  });
});

test.each<[string, Document]>([
  ["a primary", { isWritablePrimary: true, setName: "rs" }],
  ["a mongos", { isWritablePrimary: true, msg: "isdbgrid" }],
  ["a server before 5.0, whose answer has another name for it", { ismaster: true }],
])("%s is read from", async (_, hello) => {
  await expect(requirePrimary(answering(hello))).resolves.toBeUndefined();
});
