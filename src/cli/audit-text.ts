import type { AuditReport, AuditRequest } from "../audit/audit.ts";
import type { Drift } from "../audit/check.ts";
import type { InvisibleCounts, InvisibleReason } from "../usage/invisible.ts";
import type { MeasureTexts } from "../usage/measures.ts";
import type { Repair } from "./audit-repair.ts";
import { findingLines, INVISIBLE_TEXTS } from "./finding-text.ts";
import { blocks, type Lines } from "./lines.ts";
import { fact, table } from "./table.ts";

/** Tenant-days that are shown; --json lists them all. */
const SHOWN = 50;

/** An audit as text: a table of what differs, old -> new, then one fact a line. */
export function auditText(report: AuditReport, request: AuditRequest, repaired: Repair | null): Lines {
  const { days, notFinal, invisible, drift, failed } = report;
  const depth = request.deep ? "sums and documents" : "sums";
  const lines = [
    `audited    ${request.from} to ${request.to}, ${depth}: ${count(days.checked, "tenant-day")}`,
    `found      ${days.equal} equal, ${days.pending} pending, ${days.drifted} drifted, ${days.missing} missing`,
    `left out   ${days.skipped} before the horizon, ${notFinal} not final${notFinal > 0 && !request.allStates ? " (--all-states takes them in)" : ""}, ${days.failed} that could not be read`,
  ];
  if (days.pending > 0)
    lines.push("pending    events that arrived after the row was read, or rows that wait for a rebuild");
  if (invisible) lines.push(`invisible  ${invisibleText(invisible)}`);
  if (report.finding) lines.push(...fact("finding", findingLines(report.finding)));
  if (repaired) lines.push(`repair     ${repairText(repaired)}`);
  const parts: Lines[] = [lines];
  if (failed.length > 0) {
    const rows = failed.slice(0, SHOWN).map(({ tenant, date, error }) => [tenant, date, error]);
    parts.unshift(listed(["tenant", "day", "error"], rows, failed.length));
  }
  if (drift.length > 0) parts.unshift(driftTable(drift, days.drifted + days.missing));
  if (repaired && repaired.refused.length > 0) {
    const rows = repaired.refused
      .slice(0, SHOWN)
      .map(({ tenant, date }) => [tenant, date, "refused: fewer events are left"]);
    parts.push(listed(["tenant", "day", "repair"], rows, repaired.refused.length));
  }
  return blocks(...parts);
}

function driftTable(drift: readonly Drift[], total: number): Lines {
  const rows = drift.slice(0, SHOWN).map(({ tenant, date, verdict, stored, fresh, columns }) => {
    const change = (name: keyof MeasureTexts) =>
      stored?.[name] === fresh[name] ? fresh[name] : `${stored?.[name] ?? "-"} -> ${fresh[name]}`;
    return [tenant, date, change("requests"), change("tokens"), change("cost"), columns.join(", ") || verdict];
  });
  return listed(["tenant", "day", "requests", "tokens", "cost", "differs in"], rows, total);
}

function listed(head: readonly string[], rows: readonly (readonly string[])[], total: number): Lines {
  const more =
    total > rows.length ? [`... and ${count(total - rows.length, "more tenant-day")}; --json lists them`] : [];
  return [...table(head, rows), ...more];
}

function invisibleText(counts: InvisibleCounts): string {
  const some = (Object.entries(counts) as [InvisibleReason, number][]).filter(([, n]) => n > 0);
  if (some.length === 0) return "no event of the collection; rebuilds see all of them";
  const total = some.reduce((sum, [, n]) => sum + n, 0);
  return `${count(total, "event")} of the whole collection that no rebuild can see: ${some.map(([reason, n]) => `${n} ${INVISIBLE_TEXTS[reason]}`).join(", ")}`;
}

function repairText({ run, refused, remaining, left }: Repair): string {
  const { written, unchanged, stale, failed } = run.days;
  const counts = `${written} written, ${unchanged} unchanged, ${stale} stale, ${refused.length} refused, ${failed} failed`;
  const still = remaining.length === 0 ? "nothing differs any more" : `${remaining.length} still differ`;
  const more = left > 0 ? `; ${left} more wait for a repair: run the command again` : "";
  return `run ${run.id} ${run.state}: ${counts}; ${still}${more}`;
}

function count(n: number, what: string): string {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}
