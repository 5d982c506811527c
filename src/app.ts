import type { Redis } from "ioredis";
import { requireConnection } from "./config.ts";
import { agreeOnSettings } from "./db/postgres/meta.ts";
import { createWorkerRedis, evictionPolicy } from "./db/redis.ts";
import { nightlyThrough } from "./db/postgres/runs/end.ts";
import { UsageError } from "./errors.ts";
import { HttpServer } from "./http/server.ts";
import { JOBS } from "./jobs/index.ts";
import type { JobContext } from "./jobs/job.ts";
import { startParts, type Part, type Running } from "./lifecycle.ts";
import { Metrics } from "./metrics.ts";
import { QUEUES, Queues } from "./queues/queues.ts";
import { QueueWorker } from "./queues/worker.ts";
import { Scheduler } from "./schedule/scheduler.ts";
import { schedules, type TickActions } from "./schedule/schedules.ts";
import type { Execution, Services } from "./services.ts";

const RECONCILE_MS = 15_000;

const CHANGED =
  "Other settings were put in force while this worker ran, so it ends; what it computes is void. Start it again with those.";

/** A worker that runs. */
export interface WorkerApp extends Running {
  /** where its HTTP server listens */
  readonly address: string;
  /**
   * aborts when this process can do no more work and should end: it lost the connection that its locks live on, or
   * other settings than its own were put in force
   */
  readonly lost: AbortSignal;
}

/**
 * Builds a worker process and starts it: jobs from both queues, the schedules, the reconciler and the HTTP server. The
 * servers must answer and the tables be there; an error says which is not.
 */
export async function startWorker(services: Services): Promise<WorkerApp> {
  const { config, log } = services;
  const runs = await services.runs();
  const session = await services.session();
  const probe = await services.redis(); // fails at once where Redis does not answer
  const policy = await evictionPolicy(probe);
  if (policy !== undefined && policy !== "noeviction") {
    log.warn({ policy }, "Redis may evict jobs: set maxmemory-policy to noeviction; lost jobs are put back meanwhile");
  }

  let redis: Redis | undefined;
  let queues: Queues | undefined;
  const workers = new Map<string, QueueWorker>();
  let reconciler: NodeJS.Timeout | undefined;
  let address = "";

  const dispatch = async () => {
    await queues?.dispatch(runs);
  };
  const contextOf: (execution: Execution) => JobContext = await services.jobContext(() =>
    dispatch().catch((err: unknown) => log.warn({ err }, "dispatch failed; the reconciler tries again")),
  );
  const unfit = new AbortController();
  const reconcile = async () => {
    try {
      await agreeOnSettings(await services.pool(), services.settings);
      for (const id of await runs.unfinishedButDone()) await runs.finish(id);
      await dispatch();
    } catch (err) {
      log.error({ err }, "reconcile failed; it is tried again");
      if (err instanceof UsageError) unfit.abort(new UsageError(`${CHANGED}\n${err.message}`, { cause: err }));
    }
  };
  const actions: TickActions = {
    request: async (wish) => {
      const { created } = await runs.create(services.request(wish));
      if (created) await dispatch();
    },
    enqueue: async (job, payload, queue = "bulk") => queues?.enqueue(job, payload, queue),
    nightlyThrough: async () => nightlyThrough(await services.pool()),
  };
  const scheduler = new Scheduler(schedules(config), actions, log);
  const consumption = async () => {
    const counts = await queues?.counts().catch(() => undefined);
    return Array.from(workers, ([queue, worker]) => {
      return { queue, idleMs: worker.idleMs, waiting: counts?.find((count) => count.queue === queue)?.waiting };
    });
  };
  const audits = await services.audits();
  const metrics = new Metrics({ newestAudit: () => audits.newest(), newestIndexReport: services.newestIndexReport });
  const http = new HttpServer(config.httpHost, config.httpPort, consumption, metrics);

  const parts: Part[] = [
    {
      name: "http",
      start: async () => {
        address = await http.start();
      },
      stop: () => http.stop(),
    },
    {
      name: "queues",
      start: () => {
        redis = createWorkerRedis(requireConnection(config, "redisUrl"), (err) => log.warn({ err }, "Redis error"));
        queues = new Queues(redis, config.queuePrefix, (err) => log.warn({ err }, "queue error"));
        return Promise.resolve();
      },
      stop: async () => {
        await queues?.close();
        redis?.disconnect();
      },
    },
    {
      name: "workers",
      start: () => {
        for (const queue of QUEUES) {
          const concurrency = queue === "fresh" ? 1 : config.workerConcurrency;
          const shared = { redis: redis as Redis, prefix: config.queuePrefix, jobs: JOBS, log, context: contextOf };
          const worker = new QueueWorker({ queue, concurrency, ...shared });
          workers.set(queue, worker);
          worker.start();
        }
        return Promise.resolve();
      },
      stop: async () => {
        await Promise.all(Array.from(workers.values(), (worker) => worker.stop()));
      },
    },
    {
      name: "reconciler",
      start: async () => {
        await reconcile();
        reconciler = setInterval(() => void reconcile(), RECONCILE_MS);
      },
      stop: () => {
        clearInterval(reconciler);
        return Promise.resolve();
      },
    },
    {
      name: "schedule",
      start: () => Promise.resolve(scheduler.start()),
      stop: () => scheduler.stop(),
    },
  ];
  const running = await startParts(parts, log);
  await session.announceWorker();
  log.info({ address }, "worker started");
  return { address, lost: AbortSignal.any([session.lost, unfit.signal]), stop: () => running.stop() };
}
