import { Gauge, Registry } from "prom-client";
import type { AuditSummary } from "./db/postgres/audit.ts";

/** Where metrics come from at a scrape. */
export interface MetricSources {
  readonly newestAudit: () => Promise<AuditSummary | undefined>;
}

/** Every metric there is, declared once. Labels are fixed; none is a tenant. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #sources: MetricSources;
  readonly #registry = new Registry();
  readonly #auditDrifted = this.#gauge(
    "tallyman_audit_drifted_days",
    "Tenant-days of the newest audit whose row is missing or is not what its events say.",
  );
  readonly #auditChecked = this.#gauge(
    "tallyman_audit_checked_days",
    "Tenant-days that the newest audit has compared with their events.",
  );
  readonly #auditLast = this.#gauge(
    "tallyman_audit_last_timestamp_seconds",
    "When the newest audit ended, in seconds since the epoch; 0 before the first.",
  );

  constructor(sources: MetricSources) {
    this.#sources = sources;
  }

  /** What a scrape gets. What PostgreSQL knows is read for it, so that every replica shows the same. */
  async text(): Promise<string> {
    const audit = await this.#sources.newestAudit();
    this.#auditDrifted.set(audit?.drifted ?? 0);
    this.#auditChecked.set(audit?.checked ?? 0);
    this.#auditLast.set(audit?.finishedAt ?? 0);
    return this.#registry.metrics();
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.#registry] });
  }
}
