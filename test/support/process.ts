import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { until } from "./until.ts";

/** Processes start within a second or two, but on a machine that does much else at the same time. */
const PATIENCE_MS = 60_000;

const PROGRAM = fileURLToPath(new URL("../../bin/tallyman.js", import.meta.url));
const children = new Set<ChildProcess>();
process.once("exit", killAll);

export interface Ended {
  /** null when a signal ended it */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** A command that runs as a process of its own. */
export interface Command {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** what it has printed so far */
  stdout(): string;
  stderr(): string;
  signal(name: NodeJS.Signals): void;
}

/** Starts `tallyman ...args` as a shell would, but with no other setting than the given ones. */
export function start(env: Readonly<Record<string, string | undefined>>, args: readonly string[]): Command {
  return startProgram(process.execPath, [PROGRAM, ...args], env);
}

/** Starts any program under the same care: it never outlives the tests. */
export function startProgram(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Command {
  const { PATH, HOME, TMPDIR } = process.env;
  const startedAt = performance.now();
  const child = spawn(file, args, { env: { PATH, HOME, TMPDIR, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      children.delete(child);
      resolve({ code, stdout, stderr, ms: performance.now() - startedAt });
    });
  });
  return {
    pid: child.pid as number,
    ended,
    stdout: () => stdout,
    stderr: () => stderr,
    signal: (name) => void child.kill(name),
  };
}

/** Runs a command to its end. */
export function run(env: Readonly<Record<string, string | undefined>>, ...args: string[]): Promise<Ended> {
  return start(env, args).ended;
}

export interface WorkerProcess extends Command {
  readonly address: string;
}

/** Starts a worker, by default that of the checkout, and waits until it works. */
export async function startWorker(
  env: Readonly<Record<string, string | undefined>>,
  program = PROGRAM,
  withinMs = PATIENCE_MS,
): Promise<WorkerProcess> {
  const worker = startProgram(process.execPath, [program, "worker", "--json"], env);
  let isOver = false;
  void worker.ended.then(() => (isOver = true));
  const hasStarted = () => {
    if (isOver) throw new Error(`the worker ended: ${worker.stderr()}`);
    return worker.stdout().includes("\n") && worker.stdout();
  };
  const line = await until("address of the worker", hasStarted, withinMs);
  return { ...worker, address: (JSON.parse(line) as { address: string }).address };
}

/** Waits for what processes do. */
export function untilWorked<T>(what: string, ask: Parameters<typeof until<T>>[1]): Promise<T> {
  return until(what, ask, PATIENCE_MS);
}

/** Ends what still runs; for afterEach or afterAll. */
export async function endProcesses(): Promise<void> {
  killAll();
  await until("end of the processes", () => children.size === 0);
}

function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}
