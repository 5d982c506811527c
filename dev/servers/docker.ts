import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Guard } from "./guard.ts";
import { freePort } from "./process.ts";
import { reason, Unavailable, type Engine, type EngineProbe, type Run, type Running, type Source } from "./source.ts";

const PULL_MS = 10 * 60_000;

/** Looks for a container engine once, on the first call. */
export function engineProbe(guard: Guard): EngineProbe {
  let found: Promise<Engine> | undefined;
  return () => (found ??= probe(guard));
}

async function probe(guard: Guard): Promise<Engine> {
  // Loading testcontainers takes most of a second: not for a machine that has no sign of an engine.
  if (!hasSignOfEngine()) throw new Unavailable("no container engine here (no DOCKER_HOST, no socket)");
  // Its reaper is one more image to pull, and the guard removes the containers also when this process is killed.
  process.env["TESTCONTAINERS_RYUK_DISABLED"] ??= "true";
  const testcontainers = await import("testcontainers");
  try {
    const client = await within(5_000, testcontainers.getContainerRuntimeClient());
    const run = path.basename(guard.folder);
    await guard.ownContainers(`tallyman.run=${run}`);
    return { testcontainers, client, label: { "tallyman.run": run } };
  } catch (error) {
    throw new Unavailable(`no container engine answers (${reason(error)})`);
  }
}

function hasSignOfEngine(): boolean {
  if (process.platform === "win32" || process.env["DOCKER_HOST"]) return true;
  const home = homedir();
  const runtime = process.env["XDG_RUNTIME_DIR"] ?? `/run/user/${process.getuid?.() ?? 0}`;
  return [
    "/var/run/docker.sock",
    path.join(runtime, "docker.sock"),
    path.join(home, ".docker/run/docker.sock"),
    path.join(home, ".docker/desktop/docker.sock"),
    path.join(home, ".testcontainers.properties"),
  ].some((file) => existsSync(file));
}

export interface ContainerPlan {
  readonly image: { readonly setting: string; readonly name: string };
  readonly port: number;
  readonly command?: (run: Run) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  uri(host: string, port: number): string;
  ping(uri: string): Promise<void>;
}

/** A server in a container of the engine. */
export function inContainer(plan: ContainerPlan): Source {
  const image = () => process.env[plan.image.setting] ?? plan.image.name;
  return {
    name: "container",
    async start(run) {
      const engine = await run.engine();
      const name = image();
      if (!(await hasImage(engine, name))) run.print(`${name}: pulling the image`);
      const running = await startContainer(run, name, plan);
      return { ...running, source: `container of ${name}` };
    },
  };
}

async function hasImage({ client }: Engine, name: string): Promise<boolean> {
  return client.container.dockerode
    .getImage(name)
    .inspect()
    .then(
      () => true,
      () => false,
    );
}

async function startContainer(run: Run, image: string, plan: ContainerPlan): Promise<Running> {
  const { client } = await run.engine();
  const { host } = client.info.containerRuntime;
  const { id, port } = await createContainer(run, image, plan);
  const handle = client.container.getById(id);
  // The published port has an IPv4 address only, and "localhost" may mean the other one.
  const uri = plan.uri(host === "localhost" ? "127.0.0.1" : host, port);
  await answers(plan, uri);
  const halt = async (signal: NodeJS.Signals = "SIGTERM") => {
    await handle.kill({ signal });
    await handle.wait();
  };
  const resume = async () => {
    await handle.start();
    await answers(plan, uri);
  };
  return {
    uri,
    pid: undefined,
    halt,
    resume,
    restart: async (signal) => {
      await halt(signal);
      await resume();
    },
    stop: async () => void (await handle.remove({ force: true, v: true })),
  };
}

async function createContainer(run: Run, image: string, plan: ContainerPlan): Promise<{ id: string; port: number }> {
  const { testcontainers, client, label } = await run.engine();
  const isLocal = client.info.containerRuntime.host === "localhost";
  /** Published to this machine alone: the servers ask for no password. */
  class LocalContainer extends testcontainers.GenericContainer {
    protected override beforeContainerCreated = () => {
      const bindings = this.hostConfig.PortBindings as Record<string, { HostIp?: string }[]> | undefined;
      if (isLocal) for (const binding of Object.values(bindings ?? {}).flat()) binding.HostIp = "127.0.0.1";
      return Promise.resolve();
    };
  }
  for (let attempt = 1; ; attempt++) {
    // The port is chosen here, since a port chosen by the engine changes with a restart.
    const port = await freePort();
    const container = new LocalContainer(image)
      .withExposedPorts({ container: plan.port, host: port })
      .withLabels({ ...label })
      .withEnvironment({ ...plan.env })
      .withWaitStrategy(testcontainers.Wait.forListeningPorts())
      .withStartupTimeout(60_000);
    if (plan.command) container.withCommand([...plan.command(run)]);
    try {
      const started = await within(PULL_MS, container.start());
      return { id: started.getId(), port };
    } catch (error) {
      if (attempt >= 5 || !/already (allocated|in use)/i.test(reason(error))) throw error;
    }
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`not done within ${ms / 1000} s`);
  });
  return Promise.race([work, late]).finally(() => timer.abort());
}

async function answers(plan: ContainerPlan, uri: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      await plan.ping(uri);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
