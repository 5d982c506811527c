import { auditText } from "../../../src/cli/audit-text.ts";
import { dryRunText } from "../../../src/cli/dry-run.ts";
import { checkText } from "../../../src/cli/indexes/check.ts";
import { ensureText } from "../../../src/cli/indexes/ensure.ts";
import { planText } from "../../../src/cli/indexes/plan.ts";
import { undoneTable } from "../../../src/cli/indexes/rollback.ts";
import { statsText } from "../../../src/cli/indexes/stats.ts";
import { verifyText } from "../../../src/cli/indexes/verify.ts";
import { type Lines } from "../../../src/cli/lines.ts";
import { endText, runsTable, runText } from "../../../src/cli/show-run.ts";
import { table } from "../../../src/cli/table.ts";
import { DEFAULTS } from "../../../src/indexes/manifest/manifest.ts";
import { targetReport } from "../../../src/indexes/stats/report.ts";
import type { Finding } from "../../../src/usage/finding.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { UsageError } from "../../../src/errors.ts";
import { hoursAgo, index, sample } from "../indexes/stats/samples.ts";

const DAY = "2026-03-01";
const ID = "5f0c4e1a-7c1e-4def-8123-456789abcdef";
const AT = "2026-03-01T10:00:00.000Z";

const finding = (id: string): Finding => ({
  kind: "invisible",
  collection: id,
  sampled: 3,
  invisible: [{ reason: "createdAtType", events: 2, found: id, sampleId: id }],
  absent: [{ field: "model", path: id }],
  present: [id, id],
  days: { from: DAY, to: DAY },
  error: id,
});

const run = (id: string): Run => ({
  id: ID,
  kind: "backfill",
  inline: false,
  reason: id,
  requestedBy: id,
  tenants: [id, "x", id],
  from: DAY,
  to: DAY,
  allowShrink: true,
  priority: 1,
  undoes: ID,
  cancelledBy: id,
  state: "failed",
  createdAt: AT,
  startedAt: AT,
  finishedAt: AT,
  chunks: { planned: 1, done: 0, failed: 1 },
  days: { planned: 2, written: 0, unchanged: 0, stale: 0, refused: 1, failed: 1 },
  sourceEvents: 1,
  malformedEvents: 1,
  daysFell: 1,
  finding: finding(id),
  error: id,
});

const FIGURES = { requests: "1", tokens: "2", cost: "3" };
const SUMS = { ...FIGURES, prompt: "1", completion: "1" };

const details = (id: string) => ({
  problems: [
    {
      number: 1,
      state: id,
      error: id,
      failedDays: [{ tenant: id, date: DAY, error: id }],
      refusedDays: [{ tenant: id, date: DAY, reason: "fewer events" as const, storedEvents: 2, freshEvents: 1 }],
    },
  ],
  fallen: [{ tenant: id, date: DAY, fell: ["cost" as const], before: SUMS, after: SUMS }],
  malformed: [
    {
      tenant: id,
      field: id as "cost",
      reason: "wrongType" as const,
      found: id,
      events: 1,
      days: 1,
      lastDay: DAY,
      sampleId: id,
    },
  ],
});

const DAYS = { checked: 2, deep: 0, equal: 0, pending: 0, drifted: 1, missing: 1, skipped: 0, failed: 1 };

const statsOf = (id: string) => {
  const samples = [sample(hoursAgo(1), [index(id)], { target: id }), sample(hoursAgo(0), [index(id)], { target: id })];
  const report = targetReport(samples, {
    limits: DEFAULTS.limits,
    declared: [{ name: id }],
    limitsByIndex: new Map(),
    states: undefined,
    remarks: [id],
    redundant: [],
    contracts: null,
    builds: [],
    newest: new Map(),
    current: new Map(),
  });
  const verdicts = [
    {
      kind: "missing" as const,
      level: "alert" as const,
      engine: "postgres" as const,
      target: id,
      index: id,
      sentence: id,
    },
  ];
  return { targets: [{ ...report, notes: [...report.notes, id] }], verdicts, ok: false, at: AT, notKept: id };
};

/** The text of every command that shows what came from outside, with the given text in each place of it. */
export const TEXTS: readonly (readonly [string, (id: string) => Lines])[] = [
  [
    "a table",
    (id) =>
      table(
        [id, "b"],
        [
          [id, 1],
          ["x", 2],
        ],
      ),
  ],
  ["runs list", (id) => runsTable([run(id)])],
  ["backfill", (id) => runText(run(id))],
  ["runs show", (id) => endText(run(id), details(id))],
  [
    "backfill --dry-run",
    (id) =>
      dryRunText(
        {
          planned: 3,
          finding: null,
          forecasts: [
            { tenant: id, date: DAY, outcome: "changed", before: FIGURES, after: FIGURES },
            { tenant: id, date: DAY, outcome: "failed", before: undefined, after: undefined, error: id },
          ],
        },
        { before: FIGURES, after: FIGURES },
      ),
  ],
  [
    "backfill --dry-run without a tenant-day",
    (id) => dryRunText({ planned: 0, finding: finding(id), forecasts: [] }, { before: FIGURES, after: FIGURES }),
  ],
  [
    "audit",
    (id) =>
      auditText(
        {
          id: "1",
          from: DAY,
          to: DAY,
          startedAt: AT,
          notFinal: 0,
          days: DAYS,
          invisible: null,
          finding: finding(id),
          drift: [{ tenant: id, date: DAY, verdict: "drifted", stored: SUMS, fresh: SUMS, columns: [id] }],
          pending: [],
          failed: [{ tenant: id, date: DAY, error: id }],
        },
        { from: DAY, to: DAY, deep: false, allStates: false, requestedBy: id },
        {
          run: run(id),
          refused: [{ tenant: id, date: DAY, reason: "fewer events", storedEvents: 2, freshEvents: 1 }],
          remaining: [],
          left: 0,
        },
      ),
  ],
  [
    "indexes check",
    (id) =>
      checkText(
        {
          ok: false,
          targets: [
            {
              engine: "postgres",
              target: id,
              isMissing: false,
              count: 1,
              indexes: [
                { name: id, status: "different", isDeclared: true, isRequired: true, isNew: false, detail: id },
              ],
              advice: [{ kind: "redundant", name: id, text: id }],
            },
          ],
        },
        { manifest: id },
      ),
  ],
  [
    "indexes ensure",
    (id) =>
      ensureText(
        {
          runId: ID,
          ok: false,
          entries: [{ engine: "postgres", target: id, name: id, action: "failed", detail: id, ms: 1 }],
          undone: [{ engine: "postgres", target: id, name: id, runId: ID, action: "dropped" }],
        },
        { manifest: id },
      ),
  ],
  [
    "indexes rollback",
    (id) => undoneTable([{ engine: "mongodb", target: id, name: id, runId: ID, action: "kept", detail: id }]),
  ],
  [
    "indexes verify",
    (id) =>
      verifyText({
        ok: false,
        entries: [
          {
            engine: "postgres",
            target: id,
            index: id,
            contract: id,
            mode: "uses",
            maxMs: 1,
            promised: null,
            verdict: "cannot use",
            ok: false,
            examined: 1,
            returned: 1,
            ms: 1,
            why: [id],
            advice: [id],
            warnings: [{ kind: "multikey", sentence: id }],
            unchecked: [id],
          } as never,
        ],
      }),
  ],
  ["indexes stats", (id) => statsText(statsOf(id))],
  [
    "indexes plan, but for its statements",
    (id) =>
      planText({ declared: 1, steps: [{ engine: "e", target: id, name: id, status: id, detail: id, statements: [] }] }),
  ],
  ["an error", (id) => new UsageError(["Wrong settings:", `  A is ${id}`]).lines],
  ["an error of a server", (id) => [new Error(id).message]],
];
