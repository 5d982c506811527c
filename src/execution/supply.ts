import { readMalformed } from "../db/postgres/cache/malformed.ts";
import { readRows } from "../db/postgres/cache/rows.ts";
import { restoreBatch } from "../db/postgres/cache/undo.ts";
import { writeBatch } from "../db/postgres/cache/write.ts";
import { DirtyDays } from "../db/postgres/dirty.ts";
import { History } from "../db/postgres/history.ts";
import type { Pool } from "../db/postgres/pool.ts";
import { readStamp } from "../db/postgres/stamp.ts";
import { knownTenants, widenTenantSpans } from "../db/postgres/tenants.ts";
import { Watermarks } from "../db/postgres/watermarks.ts";
import type { Logger } from "../log.ts";
import type { Services } from "../services.ts";
import { MAX_DOCUMENT_BYTES } from "../usage/document.ts";
import type { JobContext, Need, OnPool } from "../task/context.ts";
import { Executor, type Supplier } from "../task/executor.ts";

/** Where each thing that work may need comes from. A further need is one more entry. */
const SOURCES: {
  readonly [N in Need]: (
    services: Services,
    dispatch: JobContext["dispatch"],
  ) => JobContext[N] | Promise<JobContext[N]>;
} = {
  events: async (services) => (await services.source()).events,
  tenants: async (services) => (await services.source()).tenants,
  arrivals: async (services) => (await services.source()).arrivals,
  totals: async (services) => (await services.source()).totals,
  invisible: async (services) => (await services.source()).invisible,
  retention: (services) => services.retention,
  sourceAnswers: (services) => services.sourceAnswers,
  requireIndexes: (services) => services.requireIndexes,

  runs: (services) => services.runs(),
  chunks: (services) => services.chunks(),
  audits: (services) => services.audits(),
  dirtyDays: async (services) => new DirtyDays(await services.agreedPool()),
  watermarks: async (services) => new Watermarks(await services.agreedPool()),
  history: async (services) => {
    const { historyRetentionDays, undoRetentionDays } = services.config;
    return new History(await services.pool(), { historyDays: historyRetentionDays, undoDays: undoRetentionDays });
  },
  readRows: onPool(readRows),
  readMalformed: onPool(readMalformed),
  writeBatch: onPool(writeBatch),
  restoreBatch: onPool(restoreBatch),
  knownTenants: onPool(knownTenants),
  widenTenantSpans: onPool(widenTenantSpans),
  stamp: onPool(readStamp),

  settings: ({ config }) => {
    const { timeZone, settleHours, maxKeys, maxRawRows } = config;
    return { timeZone, settleHours, limits: { maxKeys, maxRawRows, maxBytes: MAX_DOCUMENT_BYTES } };
  },
  refresh: ({ config }) => {
    return { delaySeconds: config.refreshDelaySeconds, overlapSeconds: config.refreshOverlapSeconds };
  },
  today: (services) => services.today,
  dispatch: (_services, dispatch) => dispatch,
  ensureIndexes: (services) => (signal) => services.keeper.ensure({ signal }),
  reportIndexUsage: (services) => (signal) => services.reportIndexUsage(signal),
};

/** The names of everything that work may need. */
export const NEEDS = Object.keys(SOURCES) as readonly Need[];

function onPool<Args extends unknown[], Result>(statement: (pool: Pool, ...args: Args) => Result) {
  return async (services: Services): Promise<OnPool<typeof statement>> => {
    const pool = await services.agreedPool();
    return (...args) => statement(pool, ...args);
  };
}

/** The executor of a worker. @param dispatch brings its queues up to what is due */
export function workerExecutor(services: Services, dispatch: () => Promise<void>): Executor {
  return new Executor(supplierOf(services, dispatch), "error");
}

/** The executor of a command, which does the work itself and needs no queue. */
export function commandExecutor(services: Services): Executor {
  return new Executor(
    supplierOf(services, () => Promise.resolve()),
    "debug",
  );
}

/** Logs warnings only, since the command prints the result. A stricter LOG_LEVEL is kept. */
export function commandLog(log: Logger): Logger {
  return log.child({}, log.isLevelEnabled("warn") ? { level: "warn" } : {});
}

/** Supplies tasks from the services, each opened at its first use. */
function supplierOf(services: Services, dispatch: () => Promise<void>): Supplier {
  return {
    session: () => services.session(),
    async supply<N extends Need>(needs: readonly N[]) {
      const supplied = await Promise.all(needs.map(async (need) => [need, await SOURCES[need](services, dispatch)]));
      return Object.fromEntries(supplied) as Pick<JobContext, N>;
    },
  };
}
