import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judge, lastFinalDay, type Evidence } from "../../../src/usage/audit.ts";
import { dayState } from "../../../src/usage/classify.ts";
import { addDays, dayBounds } from "../../../src/usage/day.ts";
import { addMeasures, MEASURES, noMeasures, type Measures } from "../../../src/usage/measures.ts";
import { holds } from "../../support/property.ts";

const amount = fc.integer({ min: 0, max: 1_000 });
const measures = fc
  .record({ requests: amount, tokens: amount, prompt: amount, completion: amount, cost: fc.bigInt(0n, 10n ** 21n) })
  .map((sums): Measures => ({ ...sums }));
/** Sums of at least one event. */
const some = measures.map((sums) => ({ ...sums, requests: 1 + Number(sums.requests) }));
const name = fc.constantFrom(...MEASURES.map((measure) => measure.name));

function sum(...all: readonly Measures[]): Measures {
  const total = noMeasures();
  for (const each of all) addMeasures(total, each);
  return total;
}

const evidence = (differs: Partial<Evidence>): Evidence => ({
  stored: noMeasures(),
  fresh: noMeasures(),
  columns: ["total_tokens"],
  arrived: noMeasures(),
  isDirty: false,
  isCovered: false,
  isFinal: true,
  ...differs,
});

describe("a row that differs", () => {
  test("is pending where it lacks only what arrived after its read, however much of that it has", () => {
    holds(
      fc.property(measures, measures, some, (before, seen, unseen) => {
        const facts = { stored: sum(before, seen), fresh: sum(before, seen, unseen), arrived: sum(seen, unseen) };
        expect(judge(evidence(facts))).toBe("pending");
      }),
    );
  });

  test("is drifted where one measure has more than there is, or lacks more than arrived", () => {
    holds(
      fc.property(measures, some, name, fc.boolean(), (before, unseen, which, more) => {
        const stored = { ...sum(before, noMeasures()) };
        const off = more ? BigInt(unseen[which]) + 1n : -1n;
        const value = BigInt(stored[which]) + off;
        (stored as Record<string, number | bigint>)[which] = which === "cost" ? value : Number(value);
        expect(judge(evidence({ stored, fresh: sum(before, unseen), arrived: unseen }))).toBe("drifted");
      }),
    );
  });

  test("is drifted where no event is missing from it, whatever may have arrived", () => {
    holds(
      fc.property(some, measures, (fresh, tampered) => {
        const stored = { ...tampered, requests: fresh.requests };
        expect(judge(evidence({ stored, fresh, arrived: fresh }))).toBe("drifted");
      }),
    );
  });

  test("is drifted where no set of events can have its sums", () => {
    expect(judge(evidence({ stored: null, arrived: { ...noMeasures(), requests: 9 } }))).toBe("drifted");
  });

  test("is pending while it waits to be rebuilt", () => {
    expect(judge(evidence({ isDirty: true }))).toBe("pending");
    expect(judge(evidence({ isDirty: true, stored: null }))).toBe("pending");
  });
});

test("a row of which no column differs is equal, whatever else is known", () => {
  holds(
    fc.property(measures, measures, fc.boolean(), (stored, arrived, isDirty) => {
      expect(judge(evidence({ stored, fresh: stored, columns: [], arrived, isDirty }))).toBe("equal");
    }),
  );
});

describe("no row", () => {
  const one = { ...noMeasures(), requests: 1 };
  test.each([
    ["events on a final day", { fresh: one }, "missing"],
    ["events on a day that is not", { fresh: one, isFinal: false }, "pending"],
    ["events on such a day, within what is covered", { fresh: one, isFinal: false, isCovered: true }, "missing"],
    ["events that wait to be counted", { fresh: one, isDirty: true }, "pending"],
    ["no events", {}, "equal"],
    ["no events, within what is covered", { isCovered: true }, "missing"],
    ["no events, within what is covered, to be rebuilt", { isCovered: true, isDirty: true }, "pending"],
  ] as const)("with %s", (_, facts, verdict) => {
    expect(judge(evidence({ stored: undefined, columns: [], ...facts }))).toBe(verdict);
  });
});

test("the last final day is final, and the next is not", () => {
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago");
  const stamp = fc
    .integer({ min: Date.UTC(2011, 0, 1), max: Date.UTC(2040, 0, 1) })
    .map((at) => new Date(at).toISOString().replace("Z", "000Z"));
  holds(
    fc.property(stamp, zone, fc.integer({ min: 0, max: 500 }), (now, timeZone, settleHours) => {
      const last = lastFinalDay(now, timeZone, settleHours);
      expect(dayState(dayBounds(last, timeZone), now, settleHours)).toBe("final");
      const next = dayBounds(addDays(last, 1), timeZone);
      const isSkipped = next.start === next.end; // by its zone: such a day is none
      expect(isSkipped ? "none" : dayState(next, now, settleHours)).not.toBe("final");
    }),
  );
});
