import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type * as Testcontainers from "testcontainers";
import type { Guard } from "./guard.ts";
import { freePort } from "./process.ts";
import { reason, Unavailable, type Run, type Running, type Source } from "./source.ts";

export interface Engine {
  readonly testcontainers: typeof Testcontainers;
  readonly client: Testcontainers.ContainerRuntimeClient;
  /** puts this run's containers under the guard: name and value of their label */
  readonly label: Readonly<Record<string, string>>;
}
export type EngineProbe = () => Promise<Engine>;

const PULL_MS = 10 * 60_000;

/** Looks for a container engine once, whoever asks first. */
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
  const late = new AbortController();
  try {
    const client = await Promise.race([
      testcontainers.getContainerRuntimeClient(),
      sleep(5_000, undefined, { signal: late.signal }).then(() => Promise.reject(new Error("no answer within 5 s"))),
    ]);
    const run = path.basename(guard.folder);
    await guard.ownContainers(`tallyman.run=${run}`);
    return { testcontainers, client, label: { "tallyman.run": run } };
  } catch (error) {
    throw new Unavailable(`no container engine answers (${reason(error)})`);
  } finally {
    late.abort();
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
  const engine = await run.engine();
  const { GenericContainer, Wait } = engine.testcontainers;
  // A fixed port, since a mapped one changes with a restart.
  const port = await freePort("0.0.0.0");
  const container = new GenericContainer(image)
    .withExposedPorts({ container: plan.port, host: port })
    .withLabels({ ...engine.label })
    .withEnvironment({ ...plan.env })
    .withWaitStrategy(Wait.forListeningPorts())
    .withStartupTimeout(60_000);
  if (plan.command) container.withCommand([...plan.command(run)]);
  const late = new AbortController();
  const started = await Promise.race([
    container.start(),
    sleep(PULL_MS, undefined, { signal: late.signal }).then(() =>
      Promise.reject(new Error(`not started within ${PULL_MS / 60_000} minutes`)),
    ),
  ]).finally(() => late.abort());
  const handle = engine.client.container.getById(started.getId());
  const uri = plan.uri(started.getHost(), port);
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
