/** Each row of docs/mongodb.md on this server: as MongoDB has it, or as is known of FerretDB. */
import { expect, test } from "vitest";
import { ASSUMPTIONS } from "../../dev/check-mongodb/assumptions.ts";
import { knownOf, serverOf, tryRow } from "../../dev/check-mongodb/try-all.ts";
import { useMongoWorld } from "../support/mongo-world.ts";

const world = useMongoWorld("assumptions");
const tried = ASSUMPTIONS.filter((row) => "check" in row);

test.each(tried.map((row) => [row.id, row] as const))("%s", async (_id, row) => {
  const server = await serverOf(world.db);
  const { verdict, observed } = await tryRow(world.db, row, server);
  const known = knownOf(row, server).verdict;
  const expected = server.isFerret ? [known] : ["holds", "cannot tell", known];
  expect(expected, `${verdict}: ${observed}`).toContain(verdict);
});
