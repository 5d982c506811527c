import { isFutureStamp, stampMillis, type Stamp } from "../usage/stamp.ts";
import { TenantDayError } from "../db/mongo/events.ts";
import type { ReadOptions } from "../db/mongo/read.ts";
import type { InvisibleReader } from "../db/mongo/invisible.ts";
import type { TotalsReader } from "../db/mongo/totals.ts";
import type { AuditDays, Audits, Comparison, ExpectedDay } from "../db/postgres/cache/audits.ts";
import { dayKey, type TenantDay } from "../usage/tenant-day.ts";
import { readTenantDay, type ReadContext } from "../rebuild/read-tenant-day.ts";
import type { Tenants } from "../rebuild/tenants.ts";
import { judge, type Verdict } from "../usage/audit.ts";
import { dayState } from "../usage/classify.ts";
import { dayBounds, type Day } from "../usage/day.ts";
import { SCALE } from "../usage/decimal.ts";
import { sizeOf } from "../usage/document.ts";
import { isBeforeHorizon } from "../usage/horizon.ts";
import { shareAmong } from "../in-parallel.ts";
import { compareKeys } from "../usage/keys.ts";
import { measureTextsOf, noMeasures, type Measures, type MeasureTexts } from "../usage/measures.ts";

/** Tenant-days compared in one statement, and below it the limit on documents held for it. */
const BATCH = { days: 64, bytes: 8 * 1024 * 1024 };
/** Tenant-days that an audit lists; it counts all. */
const LISTED = 100_000;
const READ_LIMIT_MS = 10 * 60_000;
/** Reads of a tenant-day whose row is rewritten meanwhile, before the audit gives up on it. */
const LOOKS = 3;
/** Decimal128 has 34 digits, so a sum below this is exact to 18 decimals. */
const EXACT_COST = 10n ** BigInt(16 + SCALE);

/** Everything that an audit needs; a job's context has it. */
export interface AuditContext extends ReadContext {
  readonly totals: TotalsReader;
  readonly invisible: InvisibleReader;
  readonly tenants: Tenants;
  readonly audits: Audits;
  /** an event may become visible so many seconds after the time in its id */
  readonly refresh: { readonly delaySeconds: number };
  /** today in the reporting time zone */
  readonly today: () => Day;
}

/** A tenant-day whose row differs from its events. */
export interface Drift extends TenantDay {
  readonly verdict: "drifted" | "missing";
  /** the totals of the row; null = no row */
  readonly stored: MeasureTexts | null;
  /** the totals of the events */
  readonly fresh: MeasureTexts;
  /** columns that differ; a shallow audit compares sums only */
  readonly columns: readonly string[];
}

/** One tenant-day to audit. */
export interface AuditedDay extends TenantDay {
  /** compare documents too, not only sums */
  readonly deep: boolean;
}

/** A tenant-day computed from its events, with its read stamp. */
interface Fresh extends ExpectedDay {
  readonly readAt: Stamp;
}

interface Sums {
  readonly readAt: Stamp;
  readonly isBeforeHorizon: boolean;
  readonly totals?: Measures;
}

/** Reads tenant-days one by one, compares them in batches, and counts; memory does not grow with the range. */
export class Check {
  readonly pending: TenantDay[] = [];
  readonly failed: (TenantDay & { error: string })[] = [];
  readonly #context: AuditContext;
  readonly #onProgress: (done: number) => void;
  readonly #drift: Drift[] = [];
  readonly #counts = { deep: 0, equal: 0, pending: 0, drifted: 0, missing: 0, skipped: 0, failed: 0 };

  constructor(context: AuditContext, onProgress: (done: number) => void) {
    this.#context = context;
    this.#onProgress = onProgress;
  }

  days(): AuditDays {
    const { equal, pending, drifted, missing } = this.#counts;
    return { checked: equal + pending + drifted + missing, ...this.#counts };
  }

  /** Ordered by tenant and day. */
  drift(): Drift[] {
    return this.#drift.sort((a, b) => compareKeys(dayKey(a), dayKey(b)));
  }

  /** @param concurrency tenant-days read at once, as far as permits allow */
  async run(tasks: Iterable<AuditedDay>, concurrency: number): Promise<void> {
    await shareAmong(tasks, concurrency, async (own) => {
      let batch: Fresh[] = [];
      let bytes = 0;
      for (const task of own) {
        const fresh = await this.#read(task);
        if (!fresh) continue;
        batch.push(fresh);
        bytes += fresh.content ? sizeOf(fresh.content.documents) : 0;
        if (batch.length < BATCH.days && bytes < BATCH.bytes) continue;
        const full = batch;
        [batch, bytes] = [[], 0];
        await this.#compare(full, 1);
      }
      await this.#compare(batch, 1);
    });
  }

  /** The read stamp is taken right before the read, so a row with a later stamp is newer than this read. */
  async #read({ tenant, date, deep }: AuditedDay): Promise<Fresh | undefined> {
    try {
      const sums = deep ? undefined : await this.#readSums({ tenant, date });
      if (sums?.isBeforeHorizon) return this.#count("skipped");
      if (sums?.totals) return { tenant, date, readAt: sums.readAt, totals: sums.totals };
      const row = await readTenantDay({ tenant, date }, "bulk", this.#context);
      if (row.isBeforeHorizon) return this.#count("skipped");
      const { readAt, documents, malformed } = row;
      return { tenant, date, readAt, totals: row.totals, ...(deep && { content: { documents, malformed } }) };
    } catch (error) {
      if (!(error instanceof TenantDayError)) throw error;
      return this.#fail({ tenant, date }, error);
    }
  }

  /**
   * Without `totals` where they do not tell: too large to be exact or to be read at once, which whole days are in
   * parts.
   */
  #readSums({ tenant, date }: TenantDay): Promise<Sums> {
    const { totals, settings, stamp, retention, underPermit } = this.#context;
    const bounds = dayBounds(date, settings.timeZone);
    return underPermit("bulk", async () => {
      const kept = await retention();
      const readAt = await stamp();
      if (isBeforeHorizon(bounds, readAt, kept)) return { readAt, isBeforeHorizon: true };
      try {
        const sums = await totals.readTotals({ tenant, ...bounds }, this.#options());
        return { readAt, isBeforeHorizon: false, ...(sums.cost < EXACT_COST && { totals: sums }) };
      } catch (error) {
        if (!(error instanceof TenantDayError)) throw error;
        return { readAt, isBeforeHorizon: false };
      }
    });
  }

  async #compare(batch: readonly Fresh[], look: number): Promise<void> {
    const byKey = new Map(batch.map((fresh) => [dayKey(fresh), fresh]));
    for (const part of [batch.filter(({ content }) => content), batch.filter(({ content }) => !content)]) {
      for (const comparison of await this.#context.audits.compare(part)) {
        await this.#settle(byKey.get(dayKey(comparison)) as Fresh, comparison, look);
      }
    }
  }

  async #settle(fresh: Fresh, comparison: Comparison, look: number): Promise<void> {
    const { tenant, date, readAt, content } = fresh;
    const { row, columns } = comparison;
    const isNewer = row !== undefined && row.readAt > readAt && !isFutureStamp(row.readAt, readAt);
    if (columns.length > 0 && isNewer && look < LOOKS) {
      const again = await this.#read({ tenant, date, deep: content !== undefined });
      if (again) await this.#compare([again], look + 1);
      return;
    }
    let verdict: Verdict;
    try {
      verdict = columns.length > 0 && isNewer ? "pending" : judge(await this.#evidence(fresh, comparison));
    } catch (error) {
      if (!(error instanceof TenantDayError)) throw error;
      return this.#fail({ tenant, date }, error);
    }
    if (content) this.#counts.deep++;
    this.#count(verdict);
    if (verdict === "pending" && this.pending.length < LISTED) this.pending.push({ tenant, date });
    if ((verdict === "drifted" || verdict === "missing") && this.#drift.length < LISTED) {
      const figures = { stored: row?.figures ?? null, fresh: measureTextsOf(fresh.totals) };
      this.#drift.push({ tenant, date, verdict, ...figures, columns });
    }
  }

  async #evidence({ tenant, date, totals, readAt }: Fresh, { row, columns, isDirty, isCovered }: Comparison) {
    const { timeZone, settleHours } = this.#context.settings;
    const isFinal = dayState(dayBounds(date, timeZone), readAt, settleHours) === "final";
    const needsExcuse = row !== undefined && columns.length > 0 && !isDirty;
    const arrived = needsExcuse ? await this.#arrivals({ tenant, date }, row.readAt) : noMeasures();
    return { stored: row && row.sums, fresh: totals, columns, arrived, isDirty, isCovered, isFinal };
  }

  /** The sums of the events that the row's read may have missed, since they arrived after it began. */
  #arrivals({ tenant, date }: TenantDay, rowReadAt: Stamp): Promise<Measures> {
    const { totals, settings, refresh, underPermit } = this.#context;
    const range = { tenant, ...dayBounds(date, settings.timeZone) };
    const since = stampMillis(rowReadAt) - refresh.delaySeconds * 1_000;
    return underPermit("bulk", () => totals.readTotals(range, this.#options(), since));
  }

  #options(): ReadOptions {
    return { maxTimeMs: READ_LIMIT_MS, signal: this.#context.signal };
  }

  #fail({ tenant, date }: TenantDay, { message }: Error): undefined {
    if (this.failed.length < LISTED) this.failed.push({ tenant, date, error: message });
    return this.#count("failed");
  }

  #count(outcome: Verdict | "skipped" | "failed"): undefined {
    this.#counts[outcome]++;
    const { deep: _, ...outcomes } = this.#counts;
    this.#onProgress(Object.values(outcomes).reduce((sum, count) => sum + count, 0));
  }
}
