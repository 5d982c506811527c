import { spawn, type ChildProcess } from "node:child_process";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** Repeats the check until it passes; the last failure is the test's. The deadline only ends a test that hangs. */
export async function eventually<T>(check: () => T | Promise<T>, deadlineMs = 120_000): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Runs `parent.ts` in a process group of its own, with its temporary files in that folder. */
export function startParent(args: readonly string[], temporary: string): ChildProcess {
  const file = fileURLToPath(new URL("parent.ts", import.meta.url));
  return spawn(process.execPath, ["--import", "tsx", file, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TMPDIR: temporary },
  });
}

/** The first line that the process prints, as JSON. */
export async function firstLine(child: ChildProcess): Promise<unknown> {
  let text = "";
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk);
    if (text.includes("\n")) return JSON.parse(text.slice(0, text.indexOf("\n")));
  }
  throw new Error(`the process ended without a line: ${text}`);
}

export async function isListening(uri: string): Promise<boolean> {
  const { hostname, port } = new URL(uri);
  const socket = createConnection({ host: hostname, port: Number(port) });
  try {
    return await new Promise((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}
