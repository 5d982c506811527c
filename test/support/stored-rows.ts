import type { Pool } from "pg";
import type { StoredRow } from "./differences.ts";

/** A whole row of daily_usage_cache as text. */
export interface WholeRow extends StoredRow {
  content_hash: string;
  state: string;
  revision: string;
  read_at: string;
  cached_at: string;
  /** where the row lies on disk: an update moves it */
  ctid: string;
}

/** Every row, by `${tenant}|${date}`, in the order of the key. */
export async function storedRows(pool: Pool): Promise<Map<string, WholeRow>> {
  const { rows } = await pool.query<WholeRow>(
    `SELECT tenant_id, date::text, raw_data::text, aggregated_by_user::text, aggregated_by_model::text,
            aggregated_by_provider::text, total_requests::text, total_tokens::text, prompt_tokens::text,
            completion_tokens::text, total_cost::text, source_events::text, malformed_events::text,
            encode(content_hash, 'hex') AS content_hash, state, revision::text, read_at::text, cached_at::text, ctid::text
       FROM daily_usage_cache ORDER BY tenant_id, date`,
  );
  return new Map(rows.map((row) => [`${row.tenant_id}|${row.date}`, row]));
}
