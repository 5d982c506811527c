import type { Scenario } from "./scenario.ts";
import { aggregationCap } from "./scenarios/aggregation-cap.ts";
import { frozenAtTheLock, frozenMidChunk, frozenWithPermits } from "./scenarios/frozen-worker.ts";
import { demotedPostgres } from "./scenarios/postgres-demoted.ts";
import { diskFull } from "./scenarios/disk-full.ts";
import { lostHost } from "./scenarios/lost-host.ts";
import { frozenBackend } from "./scenarios/frozen-backend.ts";
import { silentMongodb, silentPostgres, silentRedis } from "./scenarios/silent.ts";
import { killedWorkers } from "./scenarios/killed-workers.ts";
import { mongoRestarted } from "./scenarios/mongo-restarted.ts";
import { postgresFull } from "./scenarios/postgres-full.ts";
import { postgresRestarted } from "./scenarios/postgres-restarted.ts";
import { redisRestarted, redisWiped } from "./scenarios/redis-lost.ts";
import { readonlyRedis } from "./scenarios/readonly-redis.ts";
import { stoppedWorker } from "./scenarios/stopped-worker.ts";
import { twoClocks } from "./scenarios/two-clocks.ts";

/** Every fault. Those that wait longest come first. */
export const SCENARIOS: readonly Scenario[] = [
  silentMongodb,
  silentPostgres,
  lostHost,
  frozenBackend,
  frozenAtTheLock,
  frozenWithPermits,
  frozenMidChunk,
  demotedPostgres,
  diskFull,
  killedWorkers,
  postgresRestarted,
  postgresFull,
  mongoRestarted,
  redisRestarted,
  redisWiped,
  silentRedis,
  readonlyRedis,
  stoppedWorker,
  twoClocks,
  aggregationCap,
];
