import { CommanderError, InvalidArgumentError, type Command } from "commander";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkRange, collectTenant, parseCount, parseDay, parseRunId } from "../../../src/cli/command.ts";
import { createProgram } from "../../../src/cli/program.ts";
import { requestOf } from "../../../src/cli/rebuild-options.ts";
import { UsageError } from "../../../src/errors.ts";
import { addDays, countDays, FIRST_DAY } from "../../../src/usage/day.ts";
import { holds } from "../../support/property.ts";
import { refusal } from "../../support/refusal.ts";

const TODAY = "2026-11-21";

const existingDay = fc
  .date({ min: new Date("0001-01-01"), max: new Date("9999-12-31"), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));

/** Text that people and scripts get wrong in every way, often nearly right. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.constantFrom(
    "",
    " ",
    "-1",
    "0",
    "1e3",
    "٣",
    "1.5",
    "NaN",
    "2026-02-30",
    "2026-2-3",
    " 2026-02-03",
    "2026-02-03T00:00",
  ),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString().slice(0, 10)),
  existingDay,
  fc.integer().map(String),
);

/** The value, or the message of the refusal. */
function parsed<T>(parse: (text: string) => T, given: string): T | undefined {
  let value: T | undefined;
  const said = refusal(InvalidArgumentError, () => (value = parse(given)));
  expect(said ?? "It must be fine.").toMatch(/^(It must|A tenant's id) .*\.$/);
  return value;
}

describe("a flag", () => {
  test("that is a day takes an existing day in canonical form only", () => {
    holds(
      fc.property(text, (given) => {
        const day = parsed(parseDay, given);
        const exists = () => new Date(`${given}T00:00:00Z`).toISOString().slice(0, 10) === given;
        expect(day === undefined || (day === given && exists())).toBe(true);
      }),
    );
    holds(fc.property(existingDay, (day) => void expect(parseDay(day)).toBe(day)));
  });

  test("that is a count is a whole number from 1", () => {
    holds(
      fc.property(text, (given) => {
        const count = parsed(parseCount, given);
        expect(count === undefined || (String(count) === given && count >= 1)).toBe(true);
      }),
    );
  });

  test("that is a tenant can be stored, and one that is a run's id can be asked for", () => {
    holds(
      fc.property(text, (given) => {
        const tenants = parsed((tenant) => collectTenant(tenant, ["first"]), given);
        const bytes = Buffer.byteLength(given);
        const isFine = bytes > 0 && bytes <= 512 && !given.includes("\0");
        expect(tenants).toEqual(isFine ? ["first", given] : undefined);
        expect(parsed(parseRunId, given)).toBeUndefined();
      }),
    );
  });

  test("that is a range has at most 3,660 days up to today, or the error names the flag and the way out", () => {
    const day = fc.integer({ min: 0, max: 12_000 }).map((days) => addDays(FIRST_DAY, days));
    holds(
      fc.property(day, day, (from, to) => {
        const isFine = from <= to && to <= TODAY && countDays(from, to) <= 3_660;
        const said = refusal(UsageError, () => checkRange(from, to, TODAY));
        expect(said).toEqual(isFine ? undefined : expect.stringMatching(/--(from|to)/));
      }),
    );
  });

  test("that lets final days shrink needs a reason that says something", () => {
    const range = { from: TODAY, to: TODAY, allowShrink: true } as const;
    for (const reason of [undefined, "", "  \t"]) {
      expect(() => requestOf({ ...range, ...(reason === undefined ? {} : { reason }) }, TODAY)).toThrow(/--reason/);
    }
    expect(requestOf({ ...range, reason: "deleted on request" }, TODAY)).toMatchObject({ allowShrink: true });
  });
});

/** The program, with every command's work taken out: what is left is the reading of the command line. */
function readerOnly(): Command {
  const program = createProgram();
  const strip = (command: Command) => {
    command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
    if (command.commands.length === 0) command.action(() => undefined);
    command.commands.forEach(strip);
  };
  strip(program);
  return program;
}

test("any command line is read, or refused with an error of the command line", () => {
  const names: string[] = [];
  const flags: string[] = [];
  const collect = (command: Command) => {
    names.push(command.name());
    for (const { long } of command.options) if (long) flags.push(long);
    command.commands.forEach(collect);
  };
  collect(createProgram());
  const word = fc.oneof(
    fc.constantFrom(...names),
    fc.constantFrom(...flags.filter((flag) => flag !== "--tenants-from")),
    text,
  );
  holds(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      expect(() => refusal(CommanderError, () => readerOnly().parse(words, { from: "user" }))).not.toThrow();
    }),
    300,
  );
});
