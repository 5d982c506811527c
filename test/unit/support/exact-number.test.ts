import { Timestamp } from "mongodb";
import { describe, expect, test } from "vitest";
import { canonicalDecimal, exactDouble, numberOf } from "../../support/exact-number.ts";

describe("exact numbers", () => {
  test("reads a double digit by digit", () => {
    expect(exactDouble(0.1).toFixed()).toBe("0.1000000000000000055511151231257827021181583404541015625");
    expect(exactDouble(-(2 ** 63)).toFixed()).toBe("-9223372036854775808");
    expect(exactDouble(2 ** -1074).toPrecision(20)).toBe("4.9406564584124654418e-324");
    expect(exactDouble(2 ** -1022).toPrecision(20)).toBe("2.2250738585072013831e-308");
    expect(exactDouble(NaN).isNaN()).toBe(true);
    expect(exactDouble(-Infinity).toString()).toBe("-Infinity");
  });

  test("prints canonical decimals", () => {
    const texts = ["-0", "0.00", "1.50", "1E+3", "1E-18", "-5.0", "123456789012345678901234.000000000000000001"];
    expect(texts.map((text) => canonicalDecimal(text))).toEqual([
      "0",
      "0",
      "1.5",
      "1000",
      "0.000000000000000001",
      "-5",
      "123456789012345678901234.000000000000000001",
    ]);
  });

  test("does not take a Timestamp for the Long it inherits from", () => {
    expect(numberOf(Timestamp.fromBits(1, 0))).toBeUndefined();
  });
});
