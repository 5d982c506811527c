import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addWhole,
  compareWhole,
  formatCost,
  isBelowStored,
  parseCost,
  SCALE,
  scaled,
  whole,
} from "../../../src/usage/decimal.ts";
import { canonicalDecimal, Decimal } from "../../support/exact-number.ts";
import { holds } from "../../support/property.ts";

const MAX = BigInt(Number.MAX_SAFE_INTEGER);
const big = fc.oneof(fc.bigInt(0n, 100n), fc.bigInt(MAX - 3n, MAX + 3n), fc.bigInt(0n, 2n ** 70n));

describe("whole numbers", () => {
  test("have one form: a number up to 2^53 - 1, a bigint above", () => {
    expect([whole(0n), whole(MAX), whole(MAX + 1n)]).toEqual([0, Number.MAX_SAFE_INTEGER, MAX + 1n]);
  });

  test("add and compare as bigints do, in that form", () => {
    holds(
      fc.property(big, big, (a, b) => {
        expect(addWhole(whole(a), whole(b))).toStrictEqual(whole(a + b));
        expect(BigInt(addWhole(whole(a), whole(b)))).toBe(a + b);
        expect(compareWhole(whole(a), whole(b))).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });
});

describe("costs", () => {
  const cost = fc.oneof(
    fc.bigInt(0n, 10n ** 34n),
    fc
      .tuple(fc.bigInt(0n, 10n ** 6n), fc.integer({ min: 0, max: 30 }))
      .map(([digits, zeros]) => digits * 10n ** BigInt(zeros)),
    fc.bigInt(-(10n ** 20n), 10n ** 20n),
  );

  test("print as canonical decimals and read back", () => {
    holds(
      fc.property(cost, (value) => {
        const text = formatCost(value);
        expect(text).toBe(canonicalDecimal(new Decimal(`${value}e-${SCALE}`)));
        expect(text).toMatch(/^(?!-0$)-?(0|[1-9]\d*)(\.\d*[1-9])?$/);
        expect(parseCost(text)).toBe(value);
      }),
    );
  });

  test.each([
    ["0", 0n],
    ["-0.000", 0n],
    ["0.000000000000000001", 1n],
    ["1.500", 15n * 10n ** 17n],
    ["007", 7n * 10n ** 18n],
    ["1.5000000000000000000000", 15n * 10n ** 17n],
    ["-0.5", -5n * 10n ** 17n],
  ])("read %s", (text, value) => {
    expect(parseCost(text)).toBe(value);
  });

  test.each(["", "1e3", "NaN", "Infinity", "1.", ".5", "1,5", " 1", "1\n", "+1", "0.0000000000000000001"])(
    "refuse %j",
    (text) => {
      expect(() => parseCost(text)).toThrow(RangeError);
    },
  );

  test("scale a coefficient and an exponent, losing nothing, or throw", () => {
    holds(
      fc.property(fc.bigInt(0n, 10n ** 34n - 1n), fc.integer({ min: -60, max: 20 }), (coefficient, exponent) => {
        const exact = new Decimal(`${coefficient}e${exponent + SCALE}`);
        if (exact.isInteger()) expect(scaled(coefficient, exponent)).toBe(BigInt(exact.toFixed()));
        else expect(() => scaled(coefficient, exponent)).toThrow(RangeError);
      }),
    );
  });

  test("scale past the table of powers, and a zero of any exponent", () => {
    expect(scaled(3n, 100)).toBe(3n * 10n ** 118n);
    expect(scaled(10n ** 33n, -51)).toBe(1n);
    expect([scaled(0n, -6176), scaled(0n, 6111)]).toEqual([0n, 0n]);
    expect(() => scaled(1n, -6176)).toThrow("more than 18 decimals");
  });

  test("are below a stored numeric exactly where they are, whatever its digits", () => {
    const text = fc
      .tuple(fc.bigInt(0n, 10n ** 30n), fc.integer({ min: 0, max: 40 }))
      .map(([coefficient, decimals]) => new Decimal(`${coefficient}e-${decimals}`).toFixed(decimals));
    holds(
      fc.property(fc.bigInt(0n, 10n ** 36n), text, (cost, stored) => {
        const exact = new Decimal(stored).times(new Decimal(10).pow(SCALE));
        expect(isBelowStored(cost, stored)).toBe(new Decimal(cost.toString()).lt(exact));
      }),
    );
    expect(["NaN", "Infinity", "-Infinity", "-1", "0"].map((stored) => isBelowStored(0n, stored))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
