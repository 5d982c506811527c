import { createHash, randomUUID } from "node:crypto";
import { UsageError } from "../../../errors.ts";
import type { Day } from "../../../usage/day.ts";
import { compareKeys } from "../../../usage/keys.ts";
import { heldSettings, settingsAgreed } from "../meta.ts";
import type { Connection } from "../pool.ts";
import type { Priority, RunKind } from "./run.ts";

/** What somebody asks to be rebuilt, or taken back. */
export interface RunRequest {
  /** of the run, if the request makes one; a random UUID unless given */
  readonly id?: string;
  readonly kind: RunKind;
  readonly from: Day;
  readonly to: Day;
  /** undefined = every tenant */
  readonly tenants?: readonly string[] | undefined;
  /** worked on by the asking process alone, without the queue */
  readonly inline?: boolean;
  readonly reason?: string | undefined;
  readonly requestedBy: string;
  /** final days may be replaced although fewer events are left of them; needs a reason */
  readonly allowShrink?: boolean | undefined;
  readonly priority?: Priority | undefined;
  /** the run to take back, for an undo */
  readonly undoes?: string;
  /**
   * what makes two requests the same one, where it is not their range: the occurrence of a schedule, the run to undo;
   * null = the kind alone, so that one run of it is unfinished at a time
   */
  readonly dedupeBy?: string | null;
}

/** The run that stands for a request. */
export interface RequestedRun {
  readonly id: string;
  /** false = the same request was made before */
  readonly created: boolean;
}

/**
 * Inserts the run of a request, unless one of the same request is there (of any state for a nightly run, an unfinished
 * one for the others), while the settings it was asked for under are those in force; the transaction holds these.
 *
 * @throws UsageError when other settings are in force
 */
export async function insertRun(
  connection: Connection,
  request: RunRequest,
  settingsHash: string,
  state: "planned" | "running",
): Promise<RequestedRun> {
  const { id = randomUUID(), kind, from, to, inline = false, requestedBy, allowShrink = false, priority = 0 } = request;
  const { reason = null, undoes = null } = request;
  const tenants = request.tenants ? [...new Set(request.tenants)].sort(compareKeys) : null;
  const key = dedupeKey(request, tenants, settingsHash);
  for (;;) {
    const inserted = await connection.query<{ id: string }>(
      `INSERT INTO usage_run (id, kind, inline, reason, requested_by, dedupe_key, settings_hash, tenants, from_date,
                              to_date, allow_shrink, priority, undoes, state)
       SELECT $1, $2, $3, $4, $5, $6, $7, $8::text[], $9::date, $10::date, $11, $12, $13, $14
         FROM (${heldSettings("$7")}) AS agreed
       ON CONFLICT DO NOTHING RETURNING id`,
      [
        ...[id, kind, inline, reason, requestedBy, key, settingsHash, tenants],
        ...[from, to, allowShrink, priority, undoes, state],
      ],
    );
    if (inserted.rows[0]) return { id, created: true };
    const { rows } = await connection.query<{ id: string | null; agreed: boolean }>(
      `SELECT ${settingsAgreed("$3")} AS agreed,
              (SELECT id FROM usage_run
                WHERE id = $2 OR (dedupe_key = $1 AND (kind = 'nightly' OR state IN ('planned', 'running')))
                ORDER BY created_at DESC LIMIT 1) AS id`,
      [key, id, settingsHash],
    );
    if (rows[0]?.id) return { id: rows[0].id, created: false };
    if (!rows[0]?.agreed) throw new UsageError("The settings were changed. Start again with those in force now.");
    // The run of the same request ended between the two statements: insert again.
  }
}

/** Makes the same request of ten processes one run. */
function dedupeKey(request: RunRequest, tenants: readonly string[] | null, settingsHash: string): string {
  const { kind, from, to, inline, allowShrink, dedupeBy } = request;
  const who = tenants ? createHash("sha256").update(tenants.join("\0")).digest("hex") : "all";
  const range = [from, to, who, settingsHash.slice(0, 16), ...(allowShrink ? ["shrink"] : [])].join("|");
  const by = dedupeBy === undefined ? range : dedupeBy;
  return [kind, ...(inline ? ["inline"] : []), ...(by === null ? [] : [by])].join("|");
}
