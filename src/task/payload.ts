import { z } from "zod";

/** The version of the payloads that this process writes and reads. */
export const PAYLOAD_VERSION = 1;

/** A run. */
export const runPayload = z.strictObject({ v: z.literal(PAYLOAD_VERSION), runId: z.uuid() });

/** A chunk of a run; its content is in PostgreSQL. */
export const chunkPayload = z.strictObject({
  v: z.literal(PAYLOAD_VERSION),
  runId: z.uuid(),
  chunk: z
    .int()
    .nonnegative()
    .max(2 ** 31 - 1)
    .overwrite((chunk) => chunk + 0), // JSON text may say -0; it means chunk 0, and -0 + 0 is 0
});

/** An occurrence of a schedule, "2026-11-21T0215Z": without colons, which a job's id may not hold. */
export const occurrencePayload = z.strictObject({
  v: z.literal(PAYLOAD_VERSION),
  slot: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d{4}(\d\d)?Z$/, { error: "must be an occurrence such as 2026-11-21T0215Z" }),
});
