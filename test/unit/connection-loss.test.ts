import { MongoNetworkError, MongoServerError } from "mongodb";
import { expect, test } from "vitest";
import { isConnectionLoss, isLostForWrites } from "../../src/errors.ts";

test("a member of a replica set that shuts down or is no primary any more is lost, as a connection is", () => {
  const answer = (code: number) => new MongoServerError({ message: "x", code });
  for (const code of [91, 189, 10107, 11600, 11602, 13435, 13436]) {
    expect(isConnectionLoss(answer(code)), String(code)).toBe(true);
    expect(isLostForWrites(answer(code)), String(code)).toBe(true);
  }
  expect(isConnectionLoss(new MongoNetworkError("x"))).toBe(true);
  for (const code of [2, 13, 27, 50, 134, 10334, 11000])
    expect(isConnectionLoss(answer(code)), String(code)).toBe(false);
  expect(isConnectionLoss(Object.assign(new Error("x"), { code: 91 }))).toBe(false);
});
