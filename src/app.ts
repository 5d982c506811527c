import { redisAddress } from "./config.ts";
import { agreeOnSettings } from "./db/postgres/settings.ts";
import { requireMigrated } from "./db/postgres/migrate.ts";
import { countMalformed } from "./db/postgres/cache/malformed.ts";
import { nightlyThrough } from "./db/postgres/watermarks.ts";
import type { RunRequest } from "./db/postgres/runs/request.ts";
import type { QueueName } from "./db/postgres/session.ts";
import { isRefused } from "./db/redis/address.ts";
import { createWorkerRedis, evictionPolicy, explainRedisError, redisError } from "./db/redis/connect.ts";
import { requireRights } from "./db/redis/rights.ts";
import { UsageError } from "./errors.ts";
import type { Consumption } from "./http/health.ts";
import { HttpServer } from "./http/server.ts";
import { workerExecutor } from "./execution/supply.ts";
import { JOBS } from "./jobs/index.ts";
import type { Job } from "./task/job.ts";
import { startParts, type Part, type Running } from "./lifecycle.ts";
import { Metrics } from "./metrics.ts";
import { recently } from "./recently.ts";
import { keyPrefix, Queues } from "./queues/queues.ts";
import { within } from "./queues/within.ts";
import { Workers } from "./queues/workers.ts";
import { repeated } from "./repeated.ts";
import { Reconciler } from "./reconciler.ts";
import { Scheduler } from "./schedule/scheduler.ts";
import { schedules } from "./schedule/schedules.ts";
import type { Services } from "./services.ts";
import type { Day } from "./usage/day.ts";

/** The chunks of a process that died are taken over after this time, and the little that its locks outlive it. */
const RECONCILE_MS = 5_000;

/** The count of malformed events reads a whole table, so scrapes share it. */
const COUNTED_MS = 60_000;

const CLOSE_MS = 5_000;

/** The answer to /livez waits no longer for Redis. */
const COUNT_MS = 2_000;

const CHANGED = "The tables or the settings in force were changed while this worker ran, so it ends.";

/** A running worker. */
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
 * servers must answer and the tables exist; an error names what is missing.
 */
export async function startWorker(services: Services): Promise<WorkerApp> {
  const { config, log } = services;
  const runs = await services.runs();
  const due = await services.due();
  const session = await services.session();
  const probe = await services.redis(); // fails at once where Redis does not answer
  const address = redisAddress(config);
  const explain = (error: unknown) => explainRedisError(address, error);
  await requireRights(probe, keyPrefix(probe, config.queuePrefix)).catch((error: unknown) => {
    throw explain(error);
  });
  const policy = await evictionPolicy(probe);
  if (policy !== undefined && policy !== "noeviction") {
    log.warn(
      { policy },
      "Redis may evict jobs: set maxmemory-policy to noeviction; until then lost jobs are added again",
    );
  }

  const audits = await services.audits();
  const executor = workerExecutor(services, () =>
    dispatch().catch((error: unknown) => logError("warn", error, "dispatch failed; the reconciler tries again")),
  );
  await executor.prepare(JOBS);

  // No await from here until the parts start: a failure in between would leave them open.
  const unfit = new AbortController();
  const logError = repeated(log);
  const onRedisError = (error: Error, queue?: QueueName) => {
    if (isRefused(error)) {
      unfit.abort(redisError(address, error));
      return redis.disconnect(); // what waits for an answer must not keep this process from ending
    }
    const [message, details] = queue === undefined ? ["Redis error", {}] : ["queue error", { queue }];
    logError("warn", explain(error), message, details);
  };
  const redis = createWorkerRedis(address, probe, onRedisError);
  const queues = new Queues(redis.queues, config.queuePrefix, onRedisError, explain);
  const workers = new Workers(redis.jobs, {
    prefix: config.queuePrefix,
    concurrency: config.workerConcurrency,
    log,
    executor,
    onError: onRedisError,
  });
  const reconciler = new Reconciler(reconcile, RECONCILE_MS);
  const scheduler = new Scheduler(schedules(config), { request, enqueue, nightlyThrough: readNightly }, log);
  const metrics = new Metrics({
    newestAudit: () => audits.newest(),
    fallenDays: () => runs.recentlyFallen(),
    malformed: recently(COUNTED_MS, async () => countMalformed(await services.pool())),
    newestIndexReport: services.newestIndexReport,
  });
  const http = new HttpServer(config.httpHost, config.httpPort, consumption, metrics);

  const parts: Part[] = [
    { name: "queues", start: () => Promise.resolve(), stop: closeQueues },
    { name: "http", start: () => http.start(), stop: () => http.stop() },
    { name: "workers", start: () => workers.start(), stop: () => workers.stop() },
    { name: "reconciler", start: () => reconciler.start(), stop: () => reconciler.stop() },
    { name: "schedule", start: () => Promise.resolve(scheduler.start()), stop: () => scheduler.stop() },
    { name: "dispatch", start: () => Promise.resolve(), stop: () => Promise.resolve(queues.stopDispatching()) },
  ];
  const running = await startParts(parts, log);
  await session.announceWorker();
  log.info({ address: http.address }, "worker started");
  return { address: http.address, lost: AbortSignal.any([session.lost, unfit.signal]), stop: () => running.stop() };

  function dispatch(): Promise<void> {
    return queues.dispatch(due);
  }

  async function closeQueues(): Promise<void> {
    // A Redis that does not answer, or refuses, would keep it waiting.
    await within(CLOSE_MS, queues.close());
    redis.disconnect();
  }

  async function reconcile(): Promise<void> {
    try {
      const pool = await services.pool();
      await requireMigrated(pool);
      await agreeOnSettings(pool, services.settings);
      for (const id of await due.unfinishedButDone()) await runs.finish(id);
      await dispatch();
    } catch (err) {
      logError("error", err, "reconcile failed; it is tried again");
      if (err instanceof UsageError) {
        unfit.abort(isRefused(err) ? err : new UsageError([CHANGED, ...err.lines], { cause: err }));
      }
    }
  }

  async function request(asked: RunRequest): Promise<void> {
    const { created } = await runs.create(asked);
    if (created) await dispatch();
  }

  function enqueue(job: Job, payload: unknown, queue: QueueName = "bulk"): Promise<void> {
    return queues.enqueue(job, payload, queue);
  }

  async function readNightly(): Promise<Day | undefined> {
    return nightlyThrough(await services.pool());
  }

  async function consumption(): Promise<Consumption[]> {
    const counts = await within(COUNT_MS, queues.counts()).catch(() => undefined);
    return workers.activity().map((activity) => {
      return { ...activity, waiting: counts?.find(({ queue }) => queue === activity.queue)?.waiting };
    });
  }
}
