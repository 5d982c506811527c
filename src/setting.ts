/** The kinds of settings: how each is checked, and what its refusal says. */
import { parse as parseCron } from "node-cron";
import { z } from "zod";
import { EVENT_FIELDS, type EventField, type FieldMap } from "./usage/event.ts";

/** One setting: its environment variable, its text on the reference page, and its check. */
export interface Setting<S extends z.ZodType> {
  readonly env: string;
  readonly doc: string;
  readonly schema: S;
  /** holds a password: never printed, and may come from a file named by `<env>_FILE` */
  readonly secret: boolean;
}

/** A setting that holds no password. */
export function setting<S extends z.ZodType>(env: string, doc: string, schema: S): Setting<S> {
  return { env, doc, schema, secret: false };
}

/** A connection string, with an example of one. */
export function connection(env: string, doc: string, protocols: readonly string[], example: string) {
  const schema = z
    .string()
    .refine(
      (text) =>
        protocols.some((protocol) => text.startsWith(`${protocol}://`)) &&
        (URL.canParse(text) || (text.startsWith("mongodb://") && text.includes(","))) && // only MongoDB has many hosts
        !/%(?![\da-f]{2})/i.test(text),
      { error: `must be a connection string such as ${example}` },
    )
    // Without a database in the path the driver would read one named "test", and find no events there.
    .refine((text) => !text.startsWith("mongodb") || /^[^/]+\/\/[^/]+\/[^/?]/.test(text), {
      error: `must name a database in its path, as in ${example}`,
    })
    .optional();
  return { env, doc, schema, secret: true } satisfies Setting<typeof schema>;
}

/** A whole number that has no default. */
export const anyInteger = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, { error: `must be a whole number from ${min} to ${max}` })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error: `must be a whole number from ${min} to ${max}` });

/** A whole number with a default. */
export const integer = (min: number, max: number, fallback: number) => anyInteger(min, max).prefault(String(fallback));

/** A text that matches the pattern. @param what it must be */
export const text = (pattern: RegExp, what: string) => z.string().regex(pattern, { error: `must be ${what}` });

/** A cron expression without seconds. */
export const cron = z
  .string()
  .refine(isCron, { error: 'must be a cron expression of five fields, such as "15 2 * * *"' });

/** Addresses of Sentinels, each as a connection string. */
export const sentinels = z
  .string()
  .prefault("")
  .transform((list) =>
    list
      .split(",")
      .map((one) => one.trim())
      .filter((one) => one !== ""),
  )
  .transform((list) => list.map((one) => (one.includes("://") ? one : `redis://${one}`)))
  .refine(
    (list) => list.every((one) => /^rediss?:\/\//.test(one) && URL.canParse(one) && new URL(one).hostname !== ""),
    {
      error: "must be host:port of each Sentinel, such as sentinel-1:26379,sentinel-2:26379",
    },
  );

function isCron(expression: string): boolean {
  try {
    parseCron(expression);
    return expression.trim().split(/\s+/).length === 5;
  } catch {
    return false;
  }
}

/** Names of fields that differ from the default ones, as JSON. @returns the names of all fields */
export function parseFields(json: string, context: z.RefinementCtx): FieldMap {
  const fail = (message: string) => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  let given: unknown;
  try {
    given = JSON.parse(json);
  } catch {
    return fail('must be a JSON object such as {"tenant_id":"tenantId"}');
  }
  if (typeof given !== "object" || given === null || Array.isArray(given)) return fail("must be a JSON object");
  const fields = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field as string])) as Record<
    EventField,
    string
  >;
  for (const [field, name] of Object.entries(given)) {
    if (!(EVENT_FIELDS as readonly string[]).includes(field)) {
      return fail(`has the unknown field ${JSON.stringify(field)}; known are ${EVENT_FIELDS.join(", ")}`);
    }
    if (typeof name !== "string" || !/^[^$.\0][^.\0]*(\.[^$.\0][^.\0]*)*$/.test(name) || /(^|\.)\d+(\.|$)/.test(name)) {
      return fail(`must map ${field} to the name of a field`);
    }
    fields[field as EventField] = name;
  }
  const twice = Object.values(fields).find((name, index, names) => names.indexOf(name) !== index);
  if (twice !== undefined) return fail(`maps two fields to ${JSON.stringify(twice)}`);
  return fields;
}
