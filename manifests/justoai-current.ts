/** The indexes that JustoAI has already, with Prisma's names. Its migrations own them, so they are only checked. */
import type { PostgresIndex } from "../src/indexes/index.ts";

type Current = readonly [columns: string, why: string, kind?: "primary" | "unique"];

const CURRENT: Readonly<Record<string, readonly Current[]>> = {
  // The document calls both "primary key (implicit)"; an address is unique at most.
  User: [
    ["id", "user by id", "primary"],
    ["email", "login; one account an address", "unique"],
  ],
  UserSession: [["userId", "a user's sessions"]],
  Workspace: [["id", "workspace by id", "primary"]],
  WorkspaceMember: [
    ["workspaceId", "members of a workspace"],
    ["userId", "workspaces of a user"],
  ],
  WorkspaceCredits: [["workspaceId", "credit balance", "primary"]],
  CreditAllocation: [["workspaceId", "allocations of a balance"]],
  CreditTransaction: [
    ["workspaceId", "transactions of a workspace"],
    ["createdAt", "transactions of a time"],
  ],
  Process: [
    ["workspaceId", "processes of a workspace"],
    ["processNumber", "process by its number"],
    ["createdAt", "newest processes"],
  ],
  ReportExecution: [
    ["processId", "reports of a process"],
    ["createdAt", "reports of a month"],
  ],
  ProcessBatchUpload: [
    ["workspaceId", "batches of a workspace"],
    ["status", "batches of a status"],
  ],
  UploadBatchRow: [
    ["batchId", "rows of a batch"],
    ["status", "rows of a status"],
  ],
  WebhookDelivery: [
    ["workspaceId", "deliveries of a workspace"],
    ["status", "deliveries of a status"],
    ["nextRetryAt", "deliveries by their next try"],
  ],
  UploadBatchEvent: [["batchId", "events of a batch"]],
  ChatSession: [["workspaceId", "sessions of a workspace"]],
  ChatMessage: [
    ["sessionId", "messages of a session"],
    ["createdAt", "messages by time"],
  ],
};

/** Prisma makes a constraint of a primary key, and of a unique column only an index. */
function declared(table: string, [column, why, kind]: Current): PostgresIndex {
  return {
    name: kind === "primary" ? `${table}_pkey` : `${table}_${column}_${kind ? "key" : "idx"}`,
    checked: true,
    why,
    columns: [column],
    ...(kind === "primary" ? { constraint: kind } : kind === "unique" ? { unique: true as const } : {}),
  };
}

/** By table. */
export const justoaiCurrent: Readonly<Record<string, readonly PostgresIndex[]>> = Object.fromEntries(
  Object.entries(CURRENT).map(([table, indexes]) => [table, indexes.map((index) => declared(table, index))]),
);
