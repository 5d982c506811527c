import fc from "fast-check";
import { expect, test } from "vitest";
import { computeSettings, describeConfig, loadConfig, SETTINGS } from "../../src/config.ts";
import { UsageError } from "../../src/errors.ts";
import { holds } from "../support/property.ts";

const VARIABLES = Object.values(SETTINGS).map(({ env }) => env);

/** Text that environments hold by mistake, often nearly right. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.json({ maxDepth: 2 }),
  fc.webUrl(),
  fc.constantFrom("0", "-1", "1e9", "٣", " 5 ", "true", "UTC", "Mars/Base", "* * * * *", "*/5 * * *", "0 0 31 2 *"),
  fc.constantFrom(
    "postgres://u:p@h/db",
    "mongodb://a:1,b:2/db",
    "redis://%zz@h",
    "mongodb://h",
    "{}",
    '{"model":"a.b"}',
  ),
);
const environment = fc.dictionary(fc.constantFrom(...VARIABLES), text, { maxKeys: 6, noNullPrototype: true });

test("whatever the environment holds, it is a configuration, or each fault names its variable", () => {
  holds(
    fc.property(environment, (env) => {
      try {
        const config = loadConfig(env);
        expect(describeConfig(config).map(({ name }) => name)).toEqual(VARIABLES);
        expect(computeSettings(config).hash).toMatch(/^[\da-f]{64}$/);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        const [head, ...faults] = (error as Error).message.split("\n  ");
        expect(head).toBe("Wrong settings:");
        for (const fault of faults) expect(Object.keys(env), fault).toContain(fault.split(" ")[0]);
      }
    }),
    500,
  );
});
