import { Long, Timestamp } from "mongodb";
import { expect, test } from "vitest";
import { majorityPoint } from "../../../src/db/mongo/majority.ts";

test("the majority point is read from the answer of a member of a replica set", () => {
  const opTime = (t: number) => ({ ts: new Timestamp({ t, i: 1 }), t: Long.fromNumber(7) });
  const lastWrite = {
    opTime: opTime(1_795_000_600),
    lastWriteDate: new Date("2026-11-18T10:10:00Z"),
    majorityOpTime: opTime(1_795_000_000),
    majorityWriteDate: new Date("2026-11-18T10:00:00Z"),
  };
  const point = { through: Date.parse("2026-11-18T10:00:00Z"), lastWrite: Date.parse("2026-11-18T10:10:00Z") };
  expect(majorityPoint({ isWritablePrimary: true, setName: "rs", lastWrite })).toEqual(point);
  const localTime = new Date("2026-11-18T10:10:05Z");
  expect(majorityPoint({ isWritablePrimary: true, setName: "rs", lastWrite, localTime })).toEqual({
    ...point,
    now: localTime.getTime(),
  });
});

test.each([
  ["a mongos", { isWritablePrimary: true, msg: "isdbgrid" }],
  ["a standalone server", { isWritablePrimary: true, maxWireVersion: 25 }],
  ["a member whose set has no majority yet", { isWritablePrimary: true, lastWrite: { lastWriteDate: new Date(0) } }],
])("%s tells none", (_, hello) => {
  expect(majorityPoint(hello)).toBeUndefined();
});
