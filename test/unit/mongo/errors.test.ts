import { MongoNetworkError, MongoServerError } from "mongodb";
import { expect, test } from "vitest";
import { isOutOfTime, isTooLarge, serverCode } from "../../../src/mongo/errors.ts";

const answered = (code: number) => new MongoServerError({ message: "refused", code });

test.each([50, 202, 262, 407])("code %d means that the server's time was up", (code) => {
  expect([isOutOfTime(answered(code)), isTooLarge(answered(code))]).toEqual([true, false]);
});

test.each([10_334, 146, 292, 13_548, 4_031_700])("code %d means that an answer is too large", (code) => {
  expect([isOutOfTime(answered(code)), isTooLarge(answered(code))]).toEqual([false, true]);
});

test("no other error is one of these, whatever its code", () => {
  const others = [answered(13), new MongoNetworkError("lost"), Object.assign(new Error("x"), { code: 50 }), undefined];
  expect(others.map(isOutOfTime)).toEqual([false, false, false, false]);
  expect(others.map(isTooLarge)).toEqual([false, false, false, false]);
  expect(others.map(serverCode)).toEqual([13, undefined, undefined, undefined]);
});
