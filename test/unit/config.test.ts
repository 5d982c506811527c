import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import {
  computeSettings,
  describeConfig,
  loadConfig,
  requireConnection,
  SETTINGS,
  type Config,
} from "../../src/config.ts";
import { UsageError } from "../../src/errors.ts";
import { redact } from "../../src/redact.ts";
import { EVENT_FIELDS } from "../../src/usage/event.ts";
import { holds } from "../support/property.ts";
import { refusal } from "../support/refusal.ts";

const VARIABLES = Object.values(SETTINGS).map(({ env }) => env);
const SECRETS = Object.values(SETTINGS).filter(({ secret }) => secret);

/** For each setting a value that is not its default, and values that it must refuse. */
const VALUES: Record<keyof typeof SETTINGS, { good: string; bad: readonly string[] }> = {
  mongodbUri: { good: "mongodb+srv://u:p@cluster.example/metering", bad: ["localhost", "http://h/db", "mongodb://"] },
  mongodbAdminUri: {
    good: "mongodb://a:1,b:2/metering?replicaSet=rs",
    bad: ["mongodb://host:27017", "mongodb://h/?x=1"],
  },
  eventsCollection: { good: "events", bad: ["$cmd", "a\0b"] },
  eventsFields: {
    good: '{"tenant_id":"org","cost":"price.usd"}',
    bad: [
      "tenant_id=org",
      "[]",
      "null",
      '"org"',
      '{"tenant":"org"}',
      '{"__proto__":"org"}',
      '{"constructor":"org"}',
      '{"cost":""}',
      '{"cost":"$cost"}',
      '{"cost":"a\\u0000b"}',
      '{"cost":1}',
      '{"cost":null}',
    ],
  },
  redisUrl: {
    good: "rediss://:secret@cache:6380/1",
    bad: ["cache:6379", "redis:/cache", "redis://%zz@h"],
  },
  redisSentinels: {
    good: "one:26379, rediss://:secret@two:26380",
    bad: ["one:port", "http://one:26379", "one:26379,:1"],
  },
  redisSentinelName: { good: "primary", bad: ["my master"] },
  databaseUrl: { good: "postgresql://u:p@db:5432/usage", bad: ["db", "mysql://db/usage", "postgres://a:b:c"] },
  databaseAdminUrl: { good: "postgres://admin@db/usage", bad: ["postgres//db"] },
  timeZone: { good: "Europe/Berlin", bad: ["Mars/Base", "+01:00", "2026-01-01T00:00Z"] },
  nightlyCron: {
    good: "0 4 * * 1-5",
    bad: ["0 15 2 * * *", "15 2 * *", "60 2 * * *", "15 24 * * *", "@daily", "soon"],
  },
  eventsRetentionDays: { good: "90", bad: ["0", "36501", "-1", "1.5", "90 days", "1e2"] },
  nightlyDays: { good: "7", bad: ["0", "3661", "-1", "1.5", "3 days", "0x3", "1e1", "９"] },
  refreshSeconds: { good: "60", bad: ["0", "86401", "5 min"] },
  refreshDelaySeconds: { good: "0", bad: ["3601", "-1"] },
  refreshOverlapSeconds: { good: "3600", bad: ["604801", "-1", "15m"] },
  settleHours: { good: "0", bad: ["8761", "-1", "Infinity"] },
  undoRetentionDays: { good: "30", bad: ["0", "36501", "two weeks"] },
  historyRetentionDays: { good: "1", bad: ["0", "36501", "1e3"] },
  auditCron: { good: "0 5 * * 0", bad: ["45 4 * * * *", "daily"] },
  indexesCron: { good: "*/5 * * * *", bad: ["* * * * * *", "x * * * *"] },
  workerConcurrency: { good: "64", bad: ["0", "65"] },
  mongodbConcurrency: { good: "1", bad: ["0", "65"] },
  maxKeys: { good: "2", bad: ["1", "1000001"] },
  maxRawRows: { good: "0", bad: ["-1", "1000001", "99999999999999999999"] },
  queuePrefix: { good: "tallyman-2", bad: ["a:b", "{a", "{}", "{a}{b}", "a b"] },
  httpHost: { good: "0.0.0.0", bad: ["a b"] },
  httpPort: { good: "0", bad: ["65536", "http"] },
  logLevel: { good: "debug", bad: ["verbose", "INFO"] },
};
const NAMES = Object.keys(VALUES) as (keyof typeof SETTINGS)[];

function faultsOf(env: Record<string, string>): string[] {
  const said = refusal(UsageError, () => loadConfig(env)) ?? "Wrong settings:";
  const [head, ...faults] = said.split("\n");
  expect(head).toBe("Wrong settings:");
  return faults.map((fault) => fault.trim());
}

describe("every setting", () => {
  test("has a name of its own and says what it is for", () => {
    expect(NAMES.sort()).toEqual(Object.keys(SETTINGS).sort());
    expect(new Set(VARIABLES).size).toBe(VARIABLES.length);
    for (const { env, doc } of Object.values(SETTINGS)) {
      expect(env).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(doc, env).toMatch(/^[A-Z].{10,}[.]$/);
    }
  });

  test("has the default that is written in the design; an empty variable is none", () => {
    const defaults = {
      eventsCollection: "token_usage_events",
      eventsFields: Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])),
      timeZone: "UTC",
      nightlyCron: "15 2 * * *",
      nightlyDays: 3,
      refreshSeconds: 300,
      refreshDelaySeconds: 10,
      refreshOverlapSeconds: 900,
      settleHours: 48,
      undoRetentionDays: 14,
      historyRetentionDays: 400,
      auditCron: "45 4 * * *",
      indexesCron: "30 3 * * *",
      workerConcurrency: 2,
      mongodbConcurrency: 4,
      maxKeys: 50_000,
      maxRawRows: 200_000,
      queuePrefix: "tallyman",
      redisSentinels: [],
      redisSentinelName: "mymaster",
      httpHost: "127.0.0.1",
      httpPort: 9464,
      logLevel: "info",
    };
    expect(loadConfig({})).toEqual(defaults);
    expect(loadConfig(Object.fromEntries(VARIABLES.map((name) => [name, ""])))).toEqual(defaults);
  });

  test.each(NAMES)("%s takes a value", (name) => {
    const { env } = SETTINGS[name];
    expect(loadConfig({ [env]: VALUES[name].good })[name]).not.toEqual(loadConfig({})[name]);
  });

  test.each(NAMES.flatMap((name) => VALUES[name].bad.map((value) => [SETTINGS[name].env, value] as const)))(
    "%s refuses %j by its name, and says what it must be",
    (env, value) => {
      const faults = faultsOf({ [env]: value });
      expect(faults).not.toEqual([]);
      for (const fault of faults) expect(fault).toMatch(new RegExp(`^${env} (must|is|has|names) `));
    },
  );
});

test("all faults are listed at once, in the order of the settings", () => {
  const env = Object.fromEntries(NAMES.map((name) => [SETTINGS[name].env, VALUES[name].bad[0] ?? ""]));
  const named = faultsOf(env).map((fault) => fault.split(" ")[0]);
  expect([...new Set(named)]).toEqual(VARIABLES);
});

test("a mapping of fields names ours by the name in the source and leaves the others", () => {
  const { eventsFields } = loadConfig({ EVENTS_FIELDS: '{"tenant_id":"org","cost":"price.usd"}' });
  expect(eventsFields).toEqual({ ...loadConfig({}).eventsFields, tenant_id: "org", cost: "price.usd" });
});

test("a configuration cannot be changed", () => {
  expect(() => Object.assign(loadConfig({}), { maxKeys: 1 })).toThrow(TypeError);
});

describe("a connection string", () => {
  const directory = mkdtempSync(join(tmpdir(), "tallyman-config-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (name: string, content: string) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };

  test("comes from a file where <name>_FILE says so, for each that may hold a password", () => {
    expect(SECRETS.map(({ env }) => env)).toEqual([
      "MONGODB_URI",
      "MONGODB_ADMIN_URI",
      "REDIS_URL",
      "REDIS_SENTINELS",
      "DATABASE_URL",
      "DATABASE_ADMIN_URL",
    ]);
    for (const name of NAMES.filter((one) => SETTINGS[one].secret)) {
      const { env } = SETTINGS[name];
      const path = file(env, `  ${VALUES[name].good}\n`);
      expect(loadConfig({ [`${env}_FILE`]: path })[name]).toEqual(loadConfig({ [env]: VALUES[name].good })[name]);
    }
  });

  test("is refused, without being shown, when the file is missing, empty or wrong, or when both are set", () => {
    const missing = join(directory, "none");
    expect(faultsOf({ REDIS_URL_FILE: missing })).toEqual([
      expect.stringMatching(/^REDIS_URL_FILE cannot be read: .*ENOENT/),
    ]);
    expect(faultsOf({ REDIS_URL_FILE: file("empty", "\n") })).toEqual([
      expect.stringMatching(/^REDIS_URL must be a connection string/),
    ]);
    expect(faultsOf({ REDIS_URL_FILE: file("wrong", "hunter2") }).join()).not.toContain("hunter2");
    expect(faultsOf({ REDIS_URL_FILE: missing, REDIS_URL: "redis://h" })).toEqual([
      "REDIS_URL and REDIS_URL_FILE are both set; keep one",
    ]);
    expect(faultsOf({ REDIS_URL_FILE: missing, HTTP_PORT: "x", MONGODB_URI: "y" })).toHaveLength(3);
  });

  test("that is required and missing is asked for by name, with both ways to set it", () => {
    expect(() => requireConnection(loadConfig({}), "databaseUrl")).toThrow(
      /^DATABASE_URL is not set\..*Set DATABASE_URL, or DATABASE_URL_FILE to a file that holds it\.$/,
    );
    expect(requireConnection(loadConfig({ REDIS_URL: "redis://h" }), "redisUrl")).toBe("redis://h");
  });
});

describe("redaction", () => {
  test.each([
    ["mongodb://u:hunter2@a:1,b:2,c:3/db?replicaSet=rs", "mongodb://u:***@a:1,b:2,c:3/db?replicaSet=rs"],
    ["mongodb+srv://u:hunter2@cluster.example/db", "mongodb+srv://u:***@cluster.example/db"],
    ["mongodb://a:1,b:2/db", "mongodb://a:1,b:2/db"],
    [
      "mongodb://h/db?authMechanismProperties=AWS_SESSION_TOKEN:hunter2&w=1",
      "mongodb://h/db?authMechanismProperties=***&w=1",
    ],
    ["mongodb://h/db?tlsCertificateKeyFilePassword=hunter2", "mongodb://h/db?tlsCertificateKeyFilePassword=***"],
    ["mongodb://h/db?proxyPassword=hunter2", "mongodb://h/db?proxyPassword=***"],
    ["redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"],
    ["rediss://u:hunter2@h/0?family=6", "rediss://u:***@h/0?family=6"],
    ["redis://h:6379", "redis://h:6379"],
    ["postgres://user@host:5432/usage", "postgres://user@host:5432/usage"],
    ["postgresql://u:hunter2@h/db?sslmode=require", "postgresql://u:***@h/db?sslmode=require"],
    [
      "postgres://h/db?user=u&password=hunter2&application_name=x",
      "postgres://h/db?user=u&password=***&application_name=x",
    ],
    ["postgres://h/db?sslpassword=hunter2", "postgres://h/db?sslpassword=***"],
    ["postgres://u:hun@ter2@h/db", "postgres://u:***@h/db"],
    ["postgres://u:hun/ter2?x#y@h/db", "postgres://u:***@h/db"],
    ["postgres://u:hunter%402@h/db", "postgres://u:***@h/db"],
  ])("of %s", (given, shown) => {
    expect(redact(given)).toBe(shown);
  });

  test("leaves nothing of a password, whatever is in it", () => {
    const password = fc
      .array(fc.constantFrom("hunter2", "@", ":", "/", "?", "#", "&", "=", ",", "%40", "é", " "), { maxLength: 8 })
      .map((parts) => `hunter2${parts.join("")}hunter2`);
    const head = fc.constantFrom(
      "mongodb://u",
      "mongodb+srv://user.name",
      "redis://",
      "rediss://u",
      "postgres://u%40x",
      "postgresql://",
    );
    const hosts = fc.constantFrom("h", "h:1", "[::1]:5432", "a:1,b:2");
    const tail = fc.constantFrom(
      "",
      "/",
      "/db",
      "/db?ssl=true",
      "/db?password=hunter2",
      "/db?a=b&SSLPassword=hunter2&c=d",
    );
    holds(
      fc.property(head, password, hosts, tail, (start, secret, host, end) => {
        const shown = redact(`${start}:${secret}@${host}${end}`);
        expect(shown).not.toContain("hunter2");
        expect(shown.startsWith(`${start}:***@${host}`)).toBe(true);
      }),
      500,
    );
  });

  test("covers everything that is printed, and nothing that is no secret", () => {
    const env = Object.fromEntries(NAMES.map((name) => [SETTINGS[name].env, VALUES[name].good]));
    const shown = describeConfig(
      loadConfig({ ...env, REDIS_URL: "redis://:hunter2@h", DATABASE_URL: "postgres://u:hunter2@h/db" }),
    );
    expect(JSON.stringify(shown)).not.toContain("hunter2");
    expect(shown.map(({ name }) => name)).toEqual(VARIABLES);
    expect(shown).toContainEqual({ name: "REDIS_URL", value: "redis://:***@h", doc: SETTINGS.redisUrl.doc });
    expect(shown).toContainEqual({ name: "MAX_KEYS", value: "2", doc: SETTINGS.maxKeys.doc });
    expect(shown.find(({ name }) => name === "EVENTS_FIELDS")?.value).toContain('"tenant_id":"org"');
    expect(describeConfig(loadConfig({})).find(({ name }) => name === "REDIS_URL")?.value).toBe("");
  });
});

describe("the hash of the settings", () => {
  const hashOf = (config: Config) => computeSettings(config).hash;
  const base = hashOf(loadConfig({}));

  test.each(NAMES)("follows %s exactly where that changes numbers", (name) => {
    const changed = hashOf(loadConfig({ [SETTINGS[name].env]: VALUES[name].good }));
    expect(changed === base).toBe(!["timeZone", "maxKeys", "maxRawRows", "eventsFields"].includes(name));
  });

  test("takes a default that is written out for the default, and fields in any order", () => {
    const of = (EVENTS_FIELDS: string) => hashOf(loadConfig({ EVENTS_FIELDS }));
    expect(of('{"tenant_id":"tenant_id"}')).toBe(base);
    expect(of('{"model":"m","cost":"c"}')).toBe(of('{"cost":"c","model":"m"}'));
    expect(of('{"model":"m","cost":"c"}')).not.toBe(of('{"model":"c","cost":"m"}'));
    expect(hashOf(loadConfig({ USAGE_TIMEZONE: "UTC", MAX_KEYS: "50000" }))).toBe(base);
  });
});
