import { spawn, type ChildProcess } from "node:child_process";
import { until } from "./until.ts";

/** Ends a test that hangs. Processes start within a second or two, and within a minute where a machine is busy. */
const PATIENCE_MS = 180_000;

/** What a command that works for long prints now and then where there is no terminal: how often is the machine's matter. */
const PROGRESS = /^\d+% .*\n/gm;

const children = new Set<ChildProcess>();
process.once("exit", killAll);

export interface Ended {
  /** null when a signal ended it */
  readonly code: number | null;
  readonly stdout: string;
  /** without the lines that tell how far it is */
  readonly stderr: string;
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

/** What a program finds in its environment. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Starts a program as a shell would, but with no other setting than the given ones. It never outlives the tests. */
export function startProgram(file: string, args: readonly string[], env: Env): Command {
  const { PATH, HOME, TMPDIR } = process.env;
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
      resolve({ code, stdout, stderr: stderr.replace(PROGRESS, "") });
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

export interface WorkerProcess extends Command {
  readonly address: string;
}

/**
 * Starts a worker of the given program (a file for Node), and waits until it works.
 *
 * @param launcher a command that starts the command line behind it, in the same process
 */
export async function startWorkerOf(
  program: string,
  env: Env,
  withinMs = PATIENCE_MS,
  launcher: readonly string[] = [],
): Promise<WorkerProcess> {
  const [file = process.execPath, ...args] = [...launcher, process.execPath, program, "worker", "--json"];
  const worker = startProgram(file, args, env);
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
