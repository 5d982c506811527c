/** Five hundred law firms' workspaces, in the tables that Prisma creates, with their existing indexes. */
import { definitionTail } from "../../src/indexes/index.ts";
import { justoaiCurrent } from "../justoai-current.ts";
import type { SampleData, SampleTable } from "./fill.ts";

/** Column -> its type, and its value for number n; `pick(k)` is a number from 0 to below k. */
type Columns = Readonly<Record<string, readonly [type: string, value: string]>>;

const id = (table: string, number = "n") => `'${table}-' || ${number}`;
const workspace: Columns = { workspaceId: ["text NOT NULL", id("workspace", "pick(workspaces)")] };
const created = (days: number): Columns => ({
  createdAt: ["timestamp(3) NOT NULL", `today - pick(${days * 86_400}) * interval '1 second'`],
});
/** Values with the share of each in percent. */
function weighted(weights: Readonly<Record<string, number>>): string {
  let below = 0;
  const cases = Object.entries(weights).map(([value, weight]) => `WHEN ${(below += weight)} > p THEN '${value}'`);
  return `(SELECT CASE ${cases.join(" ")} END FROM (SELECT pick(100) AS p) AS chance)`;
}

interface Table {
  readonly share: number;
  readonly columns: Columns;
}

const withId = (table: string): Columns => ({ id: ["text NOT NULL", id(table)] });
const payload: Columns = {
  payload: ["jsonb NOT NULL", `jsonb_build_object('number', n, 'note', repeat('detail ', 12))`],
};

/** Every table with a recommended index has `rows`; the others are smaller. */
const TABLES: Readonly<Record<string, Table>> = {
  Workspace: { share: 0.005, columns: { ...withId("workspace"), name: ["text NOT NULL", "'Workspace ' || n"] } },
  User: { share: 0.05, columns: { ...withId("user"), email: ["text NOT NULL", "'user' || n || '@example.com'"] } },
  UserSession: {
    share: 0.1,
    columns: { ...withId("session"), userId: ["text NOT NULL", id("user", "n / 2")], ...created(30) },
  },
  WorkspaceMember: {
    share: 0.05,
    columns: { ...withId("member"), ...workspace, userId: ["text NOT NULL", id("user")] },
  },
  WorkspaceCredits: {
    share: 0.005,
    columns: { workspaceId: ["text NOT NULL", id("workspace")], balance: ["numeric(12,2) NOT NULL", "pick(10000)"] },
  },
  CreditAllocation: {
    share: 0.1,
    columns: {
      ...withId("allocation"),
      ...workspace,
      amount: ["numeric(12,2) NOT NULL", "pick(100)"],
      ...created(365),
    },
  },
  CreditTransaction: {
    share: 1,
    columns: {
      ...withId("transaction"),
      ...workspace,
      type: ["text NOT NULL", weighted({ CREDIT: 30, DEBIT: 70 })],
      status: ["text NOT NULL", weighted({ COMPLETED: 94, FAILED: 4, PENDING: 2 })],
      amount: ["numeric(12,2) NOT NULL", "1 + pick(500)"],
      ...payload,
      ...created(365),
    },
  },
  Process: {
    share: 1,
    columns: {
      ...withId("process"),
      ...workspace,
      processNumber: ["text NOT NULL", "lpad(n::text, 7, '0') || '-12.2025.8.26.0100'"],
      ...payload,
      ...created(900),
    },
  },
  ReportExecution: {
    share: 1,
    columns: {
      ...withId("report"),
      ...workspace,
      processId: ["text NOT NULL", id("process", "pick(rows)")],
      ...payload,
      ...created(365),
    },
  },
  ProcessBatchUpload: {
    share: 1,
    columns: {
      ...withId("batch"),
      ...workspace,
      status: ["text NOT NULL", weighted({ COMPLETED: 90, FAILED: 6, PROCESSING: 3, PENDING: 1 })],
      ...payload,
      ...created(365),
    },
  },
  UploadBatchRow: {
    share: 0.2,
    columns: {
      ...withId("row"),
      batchId: ["text NOT NULL", id("batch", "n / 10")],
      status: ["text NOT NULL", weighted({ DONE: 97, FAILED: 3 })],
    },
  },
  UploadBatchEvent: { share: 0.1, columns: { ...withId("event"), batchId: ["text NOT NULL", id("batch", "n / 5")] } },
  WebhookDelivery: {
    share: 1,
    columns: {
      ...withId("delivery"),
      ...workspace,
      status: ["text NOT NULL", weighted({ DELIVERED: 92, FAILED: 6, RETRYING: 2 })],
      // Half of the retries are due.
      nextRetryAt: ["timestamp(3)", "today + (pick(172800) - 86400) * interval '1 second'"],
      ...payload,
      ...created(90),
    },
  },
  ChatSession: {
    share: 1,
    columns: { ...withId("chat"), ...workspace, title: ["text NOT NULL", "'Chat ' || n"], ...created(365) },
  },
  ChatMessage: {
    share: 0.5,
    columns: { ...withId("message"), sessionId: ["text NOT NULL", id("chat", "n / 10")], ...payload, ...created(365) },
  },
  GlobalLog: {
    share: 1,
    columns: {
      ...withId("log"),
      ...workspace,
      message: ["text NOT NULL", "'something happened to number ' || n"],
      timestamp: ["timestamp(3) NOT NULL", "today - pick(7776000) * interval '1 second'"],
    },
  },
  RateLimitStore: {
    share: 1,
    columns: {
      key: ["text NOT NULL", "'ip-' || n / 4"],
      count: ["integer NOT NULL", "greatest(0, pick(40) - 20)"],
      resetTime: ["timestamp(3) NOT NULL", "today + pick(3600) * interval '1 second'"],
    },
  },
};

/**
 * Numbers come from hashes of the row's number and the place in the statement, so a row is the same on every machine.
 */
function insertOf(table: string, { columns }: Table): string {
  let place = 0;
  const values = Object.values(columns).map(([, value]) =>
    value.replaceAll(/pick\(([^()]+)\)/g, (_, limit: string) => {
      place += 1;
      return `(hashint8extended(n * 64 + ${place}, seed + hashtext('${table}')) & 9223372036854775807) % greatest(1, (${limit})::bigint)`;
    }),
  );
  const names = Object.keys(columns).map((name) => `"${name}"`);
  return (
    `INSERT INTO "${table}" (${names.join(", ")}) SELECT ${values.map((value) => `(${value})`).join(", ")} ` +
    `FROM generate_series($1::bigint, $2::bigint) AS n, ` +
    `(SELECT $3::bigint AS rows, greatest(1, $3::bigint / 200) AS workspaces, $4::bigint AS seed, $5::timestamptz AT TIME ZONE 'UTC' AS today) AS shape`
  );
}

async function createOf(table: string, { columns }: Table): Promise<string[]> {
  const lines = Object.entries(columns).map(([name, [type]]) => `"${name}" ${type}`);
  const hasKey = "id" in columns || table === "WorkspaceCredits";
  const key = hasKey ? [`CONSTRAINT "${table}_pkey" PRIMARY KEY ("${"id" in columns ? "id" : "workspaceId"}")`] : [];
  const indexes: string[] = [];
  for (const index of justoaiCurrent[table] ?? []) {
    if (index.constraint !== undefined) continue;
    const what = index.unique ? "UNIQUE INDEX" : "INDEX";
    indexes.push(`CREATE ${what} "${index.name}" ON "${table}" ${await definitionTail(index)}`);
  }
  return [`CREATE TABLE "${table}" (${[...lines, ...key].join(", ")})`, ...indexes];
}

/** JustoAI's tables. */
export const justoaiData: SampleData = {
  collections: {},
  tables: Object.fromEntries(
    Object.entries(TABLES).map(([name, table]): [string, SampleTable] => [
      `"${name}"`,
      { share: table.share, insert: insertOf(name, table) },
    ]),
  ),
  async prepare({ sql }) {
    for (const [name, table] of Object.entries(TABLES)) {
      for (const statement of await createOf(name, table)) await sql?.query(statement);
    }
  },
};
