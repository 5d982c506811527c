import { Gauge, Registry } from "prom-client";
import type { MalformedCount } from "./db/postgres/cache/malformed.ts";
import type { AuditSummary } from "./db/postgres/cache/audits.ts";
import { REPORTED_STATES, type StatsReport } from "./indexes/index.ts";

/** The sources of the metrics at a scrape. */
export interface MetricSources {
  readonly newestAudit: () => Promise<AuditSummary | undefined>;
  /** final tenant-days whose tokens or cost fell in runs of the last seven days */
  readonly fallenDays: () => Promise<number>;
  /** of the rows as they are now */
  readonly malformed: () => Promise<readonly MalformedCount[]>;
  /** of the declared indexes; undefined if there is none yet or this role may not read it */
  readonly newestIndexReport: () => Promise<StatsReport | undefined>;
}

/** The labels of a declared index, by its name in the manifest. */
const INDEX_LABELS = ["engine", "target", "index"] as const;

/** All metrics. Labels are fixed; none is a tenant. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #sources: MetricSources;
  readonly #registry = new Registry();
  readonly #auditDrifted = this.#gauge(
    "tallyman_audit_drifted_days",
    "Tenant-days of the newest audit whose row is missing or differs from its events.",
  );
  readonly #auditChecked = this.#gauge(
    "tallyman_audit_checked_days",
    "Tenant-days that the newest audit has compared with their events.",
  );
  readonly #auditLast = this.#gauge(
    "tallyman_audit_last_timestamp_seconds",
    "When the newest audit ended, in seconds since the epoch; 0 before the first.",
  );

  readonly #fallen = this.#gauge(
    "tallyman_fallen_days",
    "Final tenant-days whose tokens or cost fell although their number of events did not, in runs of the last seven days.",
  );
  readonly #malformed = this.#gauge(
    "tallyman_malformed_events",
    "Events in the rows of the cache that are malformed in a field, for a reason.",
    ["field", "reason"],
  );

  readonly #indexLast = this.#gauge(
    "tallyman_index_report_timestamp_seconds",
    "When the newest report on the indexes was made, in seconds since the epoch; 0 before the first.",
  );
  readonly #indexAlerts = this.#gauge("tallyman_index_alerts", "Alerts in the newest report on the indexes.");
  readonly #indexWarnings = this.#gauge("tallyman_index_warnings", "Warnings in the newest report on the indexes.");
  readonly #indexSize = this.#gauge("tallyman_index_size_bytes", "Size of an index.", INDEX_LABELS);
  readonly #indexScans = this.#gauge(
    "tallyman_index_scans",
    "Scans of an index since the server last reset its counters.",
    INDEX_LABELS,
  );
  readonly #indexHits = this.#gauge(
    "tallyman_index_hit_ratio",
    "Share of an index's pages found in the cache over the last day, from 0 to 1.",
    INDEX_LABELS,
  );
  readonly #indexBloat = this.#gauge(
    "tallyman_index_bloat_ratio",
    "Bytes per entry of an index, as a multiple of its baseline.",
    INDEX_LABELS,
  );
  readonly #indexState = this.#gauge(
    "tallyman_index_state",
    "State of a declared index: 1 for the state that it is in, 0 for the other states.",
    [...INDEX_LABELS, "state"],
  );
  readonly #indexContract = this.#gauge(
    "tallyman_index_contract_ok",
    "Whether all contracts of an index are kept: 1 or 0.",
    INDEX_LABELS,
  );
  readonly #fullScans = this.#gauge(
    "tallyman_index_full_scan_ratio",
    "Share of full scans among the scans of a table or collection over the last day, from 0 to 1.",
    ["engine", "target"],
  );

  constructor(sources: MetricSources) {
    this.#sources = sources;
  }

  /** The text for a scrape. Figures are read from PostgreSQL at each scrape, so that every replica shows the same. */
  async text(): Promise<string> {
    const audit = await this.#sources.newestAudit();
    this.#auditDrifted.set(audit?.drifted ?? 0);
    this.#auditChecked.set(audit?.checked ?? 0);
    this.#auditLast.set(audit?.finishedAt ?? 0);
    this.#fallen.set(await this.#sources.fallenDays());
    this.#malformed.reset();
    for (const { events, field, reason } of await this.#sources.malformed())
      this.#malformed.set({ field, reason }, events);
    this.#showIndexes(await this.#sources.newestIndexReport());
    return this.#registry.metrics();
  }

  /** Resets all index metrics first, so that an index that is no longer declared or known disappears. */
  #showIndexes(report: StatsReport | undefined): void {
    const labelled = [this.#indexSize, this.#indexScans, this.#indexHits, this.#indexBloat, this.#indexState];
    for (const gauge of [...labelled, this.#indexContract, this.#fullScans]) gauge.reset();
    this.#indexLast.set(report ? Date.parse(report.at) / 1_000 : 0);
    const alerts = report?.verdicts.filter(({ level }) => level === "alert").length ?? 0;
    this.#indexAlerts.set(alerts);
    this.#indexWarnings.set((report?.verdicts.length ?? 0) - alerts);
    for (const { engine, target, indexes, declared, contracts, fullScans } of report?.targets ?? []) {
      if (fullScans) this.#fullScans.set({ engine, target }, fullScans.value);
      for (const { name, state } of declared) {
        const labels = { engine, target, index: name };
        for (const one of REPORTED_STATES) this.#indexState.set({ ...labels, state: one }, one === state ? 1 : 0);
        const own = contracts?.filter(({ index }) => index === name) ?? [];
        if (own.length > 0) this.#indexContract.set(labels, own.every(({ ok }) => ok) ? 1 : 0);
        const index = indexes.find(({ declaredAs }) => declaredAs === name);
        if (!index) continue;
        this.#indexSize.set(labels, index.bytes);
        if (index.scans !== null) this.#indexScans.set(labels, index.scans);
        if (index.hit !== null) this.#indexHits.set(labels, index.hit.value);
        if (index.bloat !== null) this.#indexBloat.set(labels, index.bloat);
      }
    }
  }

  #gauge<Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }
}
