/**
 * JustoAI: eight indexes in the phases of its migration plan, beside those it has. Tables and columns are Prisma's, so
 * every name is quoted; unquoted, as the document writes them, they would be other names.
 */
import type { Contract, Manifest, PostgresIndex } from "../src/indexes/index.ts";
import { justoaiCurrent } from "./justoai-current.ts";

const WORKSPACE = { sample: "workspaceId" } as const;
const MONTH_FROM = { sample: "createdAt", shift: "-15d" } as const;
const MONTH_TO = { sample: "createdAt", shift: "+15d" } as const;

const recommended: Readonly<Record<string, readonly PostgresIndex[]>> = {
  ReportExecution: [
    {
      name: "idx_report_execution_workspace_date",
      phase: 1,
      required: true,
      why: "monthly quota",
      note:
        "over all rows: the document's predicate (createdAt >= CURRENT_DATE - 1 month) moves with the clock, which no " +
        "index can (42P17)",
      columns: ["workspaceId", { col: "createdAt", desc: true }],
      contracts: [
        {
          name: "reports of a month",
          maxMs: 50,
          covered: true,
          sql: `SELECT count(*) FROM "ReportExecution" WHERE "workspaceId" = $1 AND "createdAt" >= $2 AND "createdAt" < $3`,
          params: [WORKSPACE, MONTH_FROM, MONTH_TO],
        },
        {
          name: "reports of this month",
          maxMs: 50,
          covered: true,
          sql:
            `SELECT count(*) FROM "ReportExecution" WHERE "workspaceId" = $1 AND "createdAt" >= date_trunc('month', CURRENT_DATE) ` +
            `AND "createdAt" < date_trunc('month', CURRENT_DATE) + INTERVAL '1 month'`,
          params: [WORKSPACE],
        },
      ],
    },
  ],
  WebhookDelivery: [
    {
      name: "idx_webhook_delivery_retry",
      phase: 1,
      why: "due webhook retries",
      note:
        "without status behind nextRetryAt: under the predicate it has one value, and costs a third of the size. The " +
        "index on nextRetryAt that is there has the same keys over all rows, and with a few retries this one is a fiftieth of it",
      columns: ["nextRetryAt"],
      where: "status = 'RETRYING'",
      contracts: [
        {
          name: "due retries",
          maxMs: 20,
          noSort: true,
          sql: `SELECT * FROM "WebhookDelivery" WHERE status = 'RETRYING' AND "nextRetryAt" <= now() ORDER BY "nextRetryAt" LIMIT 100`,
        },
      ],
    },
  ],
  CreditTransaction: [
    {
      name: "idx_credit_transaction_workspace_type",
      phase: 2,
      why: "balance from the transactions of a month",
      note:
        "with createdAt, which the query narrows by, and the amount it sums up, so that the table is not asked; the " +
        "query must say status = 'COMPLETED', or the predicate keeps it from the index",
      columns: ["workspaceId", "type", "createdAt"],
      include: ["amount"],
      where: "status = 'COMPLETED'",
      contracts: [
        {
          name: "credits of 30 days",
          maxMs: 10,
          covered: true,
          sql:
            `SELECT sum(amount) FROM "CreditTransaction" WHERE "workspaceId" = $1 AND type = 'CREDIT' ` +
            `AND status = 'COMPLETED' AND "createdAt" > now() - INTERVAL '30 days'`,
          params: [WORKSPACE],
        },
        {
          name: "credits of 30 days, without status",
          mode: "cannot",
          because:
            "the index holds completed transactions only, and this query wants the others too: add status = 'COMPLETED'",
          sql:
            `SELECT sum(amount) FROM "CreditTransaction" WHERE "workspaceId" = $1 AND type = 'CREDIT' ` +
            `AND "createdAt" > now() - INTERVAL '30 days'`,
          params: [WORKSPACE],
        },
      ],
    },
  ],
  ProcessBatchUpload: [
    {
      name: "idx_batch_upload_workspace_status",
      phase: 2,
      why: "a workspace's running batches, newest first",
      note: "with createdAt, which the query orders by; a status given as a parameter can keep a generic plan from it",
      columns: ["workspaceId", "status", { col: "createdAt", desc: true }],
      where: "status IN ('PROCESSING', 'PENDING')",
      contracts: [
        {
          name: "running batches",
          maxMs: 30,
          noSort: true,
          sql: `SELECT * FROM "ProcessBatchUpload" WHERE "workspaceId" = $1 AND status = 'PROCESSING' ORDER BY "createdAt" DESC`,
          params: [WORKSPACE],
        },
      ],
    },
  ],
  Process: [
    {
      name: "idx_process_workspace_number",
      phase: 3,
      why: "process by its number in a workspace",
      columns: ["workspaceId", "processNumber"],
      contracts: [
        {
          name: "process by number",
          sql: `SELECT * FROM "Process" WHERE "workspaceId" = $1 AND "processNumber" = $2`,
          params: [WORKSPACE, { sample: "processNumber" }],
          orUses: ["Process_processNumber_idx"],
        },
      ],
    },
  ],
  ChatSession: [
    {
      name: "idx_chat_session_workspace_date",
      phase: 3,
      why: "a workspace's chats, newest first",
      note: "it makes ChatSession_workspaceId_idx redundant",
      columns: ["workspaceId", { col: "createdAt", desc: true }],
      contracts: [newest("newest chats", "ChatSession", "createdAt")],
    },
  ],
  GlobalLog: [
    {
      name: "idx_global_log_workspace_timestamp",
      phase: 3,
      why: "a workspace's audit log, newest first",
      columns: ["workspaceId", { col: "timestamp", desc: true }],
      contracts: [newest("newest log lines", "GlobalLog", "timestamp")],
    },
  ],
  RateLimitStore: [
    {
      name: "idx_rate_limit_key_reset",
      phase: 3,
      why: "requests of a key in its rate limit window",
      note: "optional in the document, and of use only to queries that say count > 0",
      columns: ["key", "resetTime"],
      where: "count > 0",
      contracts: [
        {
          name: "requests of a key",
          sql: `SELECT count, "resetTime" FROM "RateLimitStore" WHERE key = $1 AND count > 0 AND "resetTime" >= $2`,
          params: [{ sample: "key" }, { sample: "resetTime" }],
        },
      ],
    },
  ],
};

function newest(name: string, table: string, time: string): Contract {
  return {
    name,
    noSort: true,
    sql: `SELECT * FROM "${table}" WHERE "workspaceId" = $1 ORDER BY "${time}" DESC LIMIT 50`,
    params: [WORKSPACE],
  };
}

const balance: Contract = {
  name: "balance of a workspace",
  mode: "could",
  maxMs: 10,
  sql: `SELECT * FROM "WorkspaceCredits" WHERE "workspaceId" = $1`,
  params: [WORKSPACE],
};

const tables = [...new Set([...Object.keys(recommended), ...Object.keys(justoaiCurrent)])];

/** JustoAI's manifest. */
export const justoai: Manifest = {
  version: 1,
  project: "justoai",
  postgres: Object.fromEntries(
    tables.map((table) => [
      `public.${table}`,
      [
        ...(recommended[table] ?? []),
        ...(justoaiCurrent[table] ?? []).map((index) =>
          index.name === "WorkspaceCredits_pkey" ? { ...index, contracts: [balance] } : index,
        ),
      ],
    ]),
  ),
};
