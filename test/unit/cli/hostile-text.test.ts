import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planText } from "../../../src/cli/indexes/plan.ts";
import { asText, stackLines } from "../../../src/cli/lines.ts";
import { table } from "../../../src/cli/table.ts";
import { manifestText, parseManifest } from "../../../src/indexes/manifest/load.ts";
import { type Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { holds } from "../../support/property.ts";
import { anyText, HOSTILE_TEXTS, unprintableIn } from "../../support/unprintable.ts";
import { TEXTS } from "./texts.ts";

describe.each(TEXTS)("the text of %s", (_name, textOf) => {
  const shown = (id: string) => asText(textOf(id));

  test("has the same lines whatever an id holds, and no character that a terminal obeys or hides", () => {
    const expected = shown("x").split("\n").length;
    expect(expected).toBeGreaterThan(1);
    const holdsFor = (id: string) => {
      const text = shown(id);
      expect(unprintableIn(text)).toEqual([]);
      expect(text.split("\n")).toHaveLength(expected);
    };
    HOSTILE_TEXTS.forEach(holdsFor);
    holds(
      fc.property(
        anyText.filter((id) => id !== ""),
        holdsFor,
      ),
    );
  });
});

test.each(TEXTS.filter(([name]) => name !== "runs list"))(
  "the text of %s shows the id, with escapes",
  (_name, textOf) => {
    expect(asText(textOf("acme\x1b[2J"))).toContain("acme\\u001b[2J");
  },
);

test("the columns of a table stay aligned beside escapes", () => {
  const [, first = "", second = ""] = table(
    ["id", "n"],
    [
      ["a\x1b[2J\u202e\n", "END"],
      ["x", "END"],
    ],
  );
  expect(first).toBe("a\\u001b[2J\\u202e\\n  END");
  expect(first.indexOf("END")).toBe(second.indexOf("END"));
});

test("the stack of an error has no line of its message", () => {
  const lines = stackLines(new Error("one\n    at forged (file.ts:1:1)\ntwo"));
  expect(lines.length).toBeGreaterThan(1);
  expect(lines.join("\n")).not.toMatch(/forged|two/);
});

test("a manifest that is shown as YAML is read again as it was, whatever its texts hold", () => {
  holds(
    fc.property(
      anyText.filter((text) => !/\p{Cs}/u.test(text) && text !== ""),
      (text) => {
        const manifest: Manifest = {
          version: 1,
          project: text,
          postgres: { "public.t": [{ name: text, columns: ["a"], why: `because ${text}`, where: `b = '${text}'` }] },
        };
        const yaml = asText(manifestText(manifest).trimEnd().split("\n"));
        expect(unprintableIn(yaml)).toEqual([]);
        expect(parseManifest(yaml, "m.yaml")).toEqual(manifest);
      },
    ),
  );
});

test("statements of a plan keep their own lines, and say where escapes stand for characters", () => {
  const step = { engine: "postgres", target: "public.t", name: "i", status: "missing" };
  const plan = (statement: string) => planText({ declared: 1, steps: [{ ...step, statements: [statement] }] });
  expect(plan("CREATE INDEX i\n  ON t (a)")).toEqual(["-- public.t i: missing", "CREATE INDEX i", "  ON t (a);"]);
  expect(plan('CREATE INDEX "\u202e"')[1]).toBe(
    "-- The escapes below stand for characters that --json gives as they are.",
  );
});
