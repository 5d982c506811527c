import fc from "fast-check";
import { expect, test } from "vitest";
import { computeSettings, type Config, describeConfig, loadConfig, SETTINGS } from "../../src/config.ts";
import { UsageError } from "../../src/errors.ts";
import { holds } from "../support/property.ts";
import { refusal } from "../support/refusal.ts";

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
      const configs: Config[] = [];
      const said = refusal(UsageError, () => configs.push(loadConfig(env)));
      const [config] = configs;
      const names = config ? describeConfig(config).map(({ name }) => name) : VARIABLES;
      expect(names).toEqual(VARIABLES);
      expect(config ? computeSettings(config).hash : "0".repeat(64)).toMatch(/^[\da-f]{64}$/);
      const [head, ...faults] = (said ?? "Wrong settings:").split("\n  ");
      expect(head).toBe("Wrong settings:");
      expect(Object.keys(env)).toEqual(expect.arrayContaining(faults.map((fault) => fault.split(" ")[0])));
    }),
    500,
  );
});
