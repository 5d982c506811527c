import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { propertySettings, settingsLine } from "../../support/property-settings.ts";
import { holds } from "../../support/property.ts";

const SEED = Number(process.env["PROPERTY_SEED"]);
const FACTOR = Number(process.env["PROPERTY_RUNS"]);

describe("a property", () => {
  const drawn = (runs?: number) => {
    const values: number[] = [];
    holds(
      fc.property(fc.integer(), (value) => void values.push(value)),
      runs,
    );
    return values;
  };

  test("is tried a hundred times, or as often as it says, times PROPERTY_RUNS", () => {
    expect(drawn()).toHaveLength(Math.ceil(100 * FACTOR));
    expect(drawn(7)).toHaveLength(Math.ceil(7 * FACTOR));
  });

  test("draws the same values under the same seed, and more of them with more runs", () => {
    const few = drawn(20);
    expect(drawn(20)).toEqual(few);
    expect(drawn(30).slice(0, few.length)).toEqual(few);
  });

  test("that does not hold fails with the seed of the run, the path and the counterexample", async () => {
    const shown = new RegExp(`seed: ${SEED}, path: "[\\d:]+"[^]*Counterexample: \\[0\\]`);
    expect(() => holds(fc.property(fc.nat(), (value) => value < 0))).toThrow(shown);
    await expect(holds(fc.asyncProperty(fc.nat(), (value) => Promise.resolve(value < 0)))).rejects.toThrow(shown);
  });
});

describe("the settings of a run", () => {
  test("are those of the environment, or a seed of their own and one times", () => {
    expect(propertySettings({ PROPERTY_SEED: "-321076867", PROPERTY_RUNS: "2.5" })).toEqual({
      PROPERTY_SEED: "-321076867",
      PROPERTY_RUNS: "2.5",
    });
    const own = propertySettings({ PROPERTY_SEED: "" });
    expect(own).toEqual({ PROPERTY_SEED: expect.stringMatching(/^\d+$/) as string, PROPERTY_RUNS: "1" });
    expect(propertySettings(own)).toEqual(own);
  });

  test.each([
    ["PROPERTY_SEED", "x"],
    ["PROPERTY_SEED", "1.5"],
    ["PROPERTY_SEED", "2147483648"],
    ["PROPERTY_RUNS", "0"],
    ["PROPERTY_RUNS", "-1"],
    ["PROPERTY_RUNS", "1e3"],
    ["PROPERTY_RUNS", "many"],
  ])("are refused where %s is %s", (name, value) => {
    expect(() => propertySettings({ [name]: value })).toThrow(`${name} is ${value}; it must be a`);
  });

  test("are printed in one line, with the names that set them", () => {
    expect(settingsLine({ PROPERTY_SEED: "7", PROPERTY_RUNS: "50" })).toBe(
      "property tests: seed 7, runs x50 (PROPERTY_SEED, PROPERTY_RUNS)",
    );
  });
});
