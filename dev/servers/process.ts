import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { lastLines, type Guard, type GuardedProcess, type ProcessSpec } from "./guard.ts";
import { reason, type Running } from "./source.ts";

/** How to run one server as a process of this machine. */
export interface ServerPlan {
  readonly title: string;
  readonly log: string;
  command(port: number): ProcessSpec;
  uri(port: number): string;
  ping(uri: string): Promise<void>;
  readonly readyMs: number;
  /** removed with the server */
  readonly data?: string;
}

const PORT_TAKEN = /address already in use|EADDRINUSE/i;

/**
 * Starts the server on a free port. Another process may take the port before the server does, so the start is retried;
 * a server that answers is ours only while our process lives.
 */
export async function runServer(guard: Guard, plan: ServerPlan): Promise<Running & { readonly pid: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return managed(guard, plan, port, await bringUp(guard, plan, port));
    } catch (error) {
      if (attempt >= 5 || !PORT_TAKEN.test(await readFile(plan.log, "utf8").catch(() => ""))) throw error;
    }
  }
}

async function bringUp(guard: Guard, plan: ServerPlan, port: number): Promise<GuardedProcess> {
  const started = await guard.spawn({ ...plan.command(port), log: plan.log });
  const deadline = Date.now() + plan.readyMs;
  let why = "";
  while (!started.hasExited()) {
    try {
      await plan.ping(plan.uri(port));
      if (!started.hasExited()) return started;
    } catch (error) {
      why = reason(error);
    }
    if (Date.now() > deadline) break;
    await Promise.race([sleep(20), started.exited]);
  }
  const how = started.hasExited() ? "ended at once" : `did not answer within ${plan.readyMs / 1000} s (${why})`;
  await started.stop("SIGKILL");
  throw new Error(`${plan.title} ${how}: ${await lastLines(plan.log)}`);
}

function managed(
  guard: Guard,
  plan: ServerPlan,
  port: number,
  first: GuardedProcess,
): Running & { readonly pid: number } {
  let current = first;
  const halt = async (signal?: NodeJS.Signals) => current.stop(signal);
  const resume = async () => {
    const deadline = Date.now() + 10_000;
    while (current.hasExited()) {
      try {
        current = await bringUp(guard, plan, port);
      } catch (error) {
        // After a crash its own children may still be leaving: PostgreSQL refuses to start until they have.
        if (Date.now() > deadline) throw error;
        await sleep(50);
      }
    }
  };
  return {
    uri: plan.uri(port),
    get pid() {
      return current.pid;
    },
    halt,
    resume,
    restart: async (signal) => {
      await halt(signal);
      await resume();
    },
    stop: async () => {
      await current.stop();
      if (plan.data !== undefined) await guard.remove(plan.data);
    },
  };
}

export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** The path of a program on the PATH. */
export async function onPath(program: string): Promise<string | undefined> {
  for (const folder of (process.env["PATH"] ?? "").split(path.delimiter)) {
    if (folder !== "" && (await isExecutable(path.join(folder, program)))) return path.join(folder, program);
  }
  return undefined;
}

export async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

export const isRoot = (): boolean => process.getuid?.() === 0;
