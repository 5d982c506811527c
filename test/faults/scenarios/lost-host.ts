import { startPostgres, type PrivateServer } from "../../../dev/servers.ts";
import { below } from "../../support/random.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { OwnHost, whyNoHost } from "../own-host.ts";
import { shutReadGate } from "../read-gate.ts";
import type { Scene } from "../scene.ts";
import type { Scenario } from "../scenario.ts";
import { WriteGate } from "../write-gate.ts";

/**
 * The machine of a worker is gone from one moment to the next: no server is told. The worker has the only permit for
 * aggregations, or the lock of the change feed, and another one waits for it.
 */
export const lostHost: Scenario = {
  name: "lost-host",
  owns: ["postgres", "mongodb"],
  processes: 2,
  settings: { WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "1" },
  start: { postgres: startForHost },
  impossible: whyNoHost,
  async inject(scene) {
    const host = hosts.get(scene.servers.postgres) as OwnHost;
    await host.heal();
    const proxies: TcpProxy[] = [];
    const through = async (uri: string | undefined) => {
      const proxy = await TcpProxy.open(uri as string, host.address);
      proxies.push(proxy);
      return proxy.through(uri as string);
    };
    const runId = await scene.backfill();
    // PostgreSQL is reached without a proxy: its own connections must be those whose other end is gone.
    const replica = await scene.startReplica(
      {
        MONGODB_URI: await through(scene.env["MONGODB_URI"]),
        REDIS_URL: await through(scene.env["REDIS_URL"]),
        DATABASE_URL: (scene.env["DATABASE_URL"] as string).replace("127.0.0.1", host.address),
      },
      host.launcher,
    );
    const { pid } = replica;
    const moment = await scene.someMoment(runId, 5, 40);
    const holding = await (below(scene.random, 2) === 0 ? loseReader : loseWriter)(scene, async () => {
      await host.cut();
      await replica.kill(); // what its system would still say does not arrive
    });
    const at = performance.now();
    const held = await scene.heldBy(runId, pid);
    const { done, planned } = await scene.progress(runId);
    await scene.startReplica();
    return {
      moment,
      hit: held && `${holding}, chunk ${held.number} in hand at ${done}/${planned}`,
      at,
      async faults() {
        for (const proxy of proxies) await proxy.close();
        return [];
      },
    };
  },
};

/** @returns what the host held, for a person */
async function loseReader(scene: Scene, lose: () => Promise<void>): Promise<string> {
  const gate = await shutReadGate(scene.servers.mongodb, scene.source);
  const reads = await gate.readers();
  await lose();
  await gate.open();
  return `${reads} with the only permit`;
}

async function loseWriter(scene: Scene, lose: () => Promise<void>): Promise<string> {
  const gate = await WriteGate.shut(scene.databaseUrl);
  const writer = await gate.writer();
  await lose();
  await gate.open(); // the lock is its own now
  return `${writer} with the lock`;
}

/** The host beside each server. */
const hosts = new WeakMap<PrivateServer, OwnHost>();

/** A PostgreSQL that a host of its own reaches, which is there before it and goes after it. */
async function startForHost(): Promise<PrivateServer> {
  const host = await OwnHost.create();
  const server = await startPostgres({ address: host.address });
  const stop = server.stop.bind(server);
  const reachable = Object.assign(server, {
    async stop() {
      await stop();
      await host.remove();
    },
  });
  hosts.set(reachable, host);
  return reachable;
}
