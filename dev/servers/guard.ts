import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { pidNamespace } from "./lock.ts";

/** A process for the guard to start. Its standard input is closed, its output goes to `log`. */
export interface ProcessSpec {
  readonly command: string;
  /** its name in errors; default the command */
  readonly title?: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly log?: string;
  /** the signal that stops it cleanly; default SIGTERM */
  readonly stopSignal?: NodeJS.Signals;
  /** time after which it is killed; default 5 s */
  readonly graceMs?: number;
  /** signal its whole process group: for installers, which start others */
  readonly group?: boolean;
  /** stands in front of another server, so it ends before it */
  readonly stopFirst?: boolean;
}

export interface GuardedProcess {
  readonly pid: number;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  hasExited(): boolean;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

interface Answer {
  readonly seq: number;
  readonly error?: string;
  readonly pid?: number;
  readonly left?: readonly string[];
}
interface Exit {
  readonly exit: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The parent's side of `guard-process.js`, which owns every process, container and temporary folder of one run. */
export class Guard {
  /** the folder of this run: data, logs; readable by other users, since PostgreSQL does not run as root */
  readonly folder: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  readonly #running = new Map<number, { pid: number; exited: (exit: Exit) => void }>();
  #seq = 0;
  #ended: Promise<void> | undefined;

  private constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
    const id = randomBytes(4).toString("hex");
    this.folder = path.join(tmpdir(), `tallyman-run-${pidNamespace()}-${pid}-${id}`);
    child.on("message", (message) => this.#receive(message as Answer | Exit));
    child.on("error", () => undefined);
    child.once("exit", () => this.#lost());
  }

  static async start(): Promise<Guard> {
    const file = fileURLToPath(new URL("guard-process.js", import.meta.url));
    const child = fork(file, [], {
      detached: true,
      execArgv: [],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      cwd: "/",
    });
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the guard of the servers exited with ${code}`)));
    });
    if (child.pid === undefined) throw new Error("the guard of the servers has no pid");
    const guard = new Guard(child, child.pid);
    await guard.own(guard.folder);
    await mkdir(guard.folder);
    await chmod(guard.folder, 0o755);
    await guard.#ask({ op: "sweep" });
    return guard;
  }

  async spawn(spec: ProcessSpec): Promise<GuardedProcess> {
    const id = ++this.#seq;
    let ended = false;
    const exited = new Promise<Exit>((resolve) => this.#running.set(id, { pid: 0, exited: resolve }));
    void exited.then(() => (ended = true));
    const { pid } = await this.#ask({ op: "spawn", id, spec }).catch((error: unknown) => {
      this.#running.delete(id);
      throw error;
    });
    if (pid === undefined) throw new Error(`${spec.command} has no pid`);
    const entry = this.#running.get(id);
    if (entry) entry.pid = pid;
    return {
      pid,
      exited,
      hasExited: () => ended,
      stop: async (signal) => void (await this.#ask({ op: "stop", id, signal })),
    };
  }

  /** Runs a command to its end; a failure names its log and quotes the last lines of it. */
  async run(spec: ProcessSpec & { readonly log: string }, deadlineMs: number): Promise<void> {
    const started = await this.spawn({ group: true, ...spec });
    const timer = new AbortController();
    const late = sleep(deadlineMs, "late" as const, { signal: timer.signal, ref: true });
    late.catch(() => undefined);
    const end = await Promise.race([started.exited, late]);
    timer.abort();
    if (end === "late") await started.stop();
    else if (end.code === 0) return;
    const how = end === "late" ? `did not end within ${deadlineMs / 1000} s` : `failed (${end.signal ?? end.code})`;
    const title = spec.title ?? path.basename(spec.command);
    throw new Error(`${title} ${how}, log ${spec.log}: ${await lastLines(spec.log)}`);
  }

  /** Has this folder removed at the end of the run. */
  async own(folder: string): Promise<void> {
    await this.#ask({ op: "own", folder });
  }
  async disown(folder: string): Promise<void> {
    await this.#ask({ op: "disown", folder });
  }
  async remove(folder: string): Promise<void> {
    await this.#ask({ op: "remove", folder });
  }
  /** Has containers with this label (`name=value`) removed at the end of the run. */
  async ownContainers(label: string): Promise<void> {
    await this.#ask({ op: "containers", label });
  }

  /** Stops everything. The process may then end; until then the guard does not keep it alive either. */
  async end(): Promise<void> {
    this.#ended ??= this.#end();
    await this.#ended;
  }

  async #end(): Promise<void> {
    const { left } = await this.#ask({ op: "end" });
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.ref();
    this.#child.disconnect();
    await gone;
    if (left && left.length > 0) throw new Error(`not everything could be cleaned up: ${left.join("; ")}`);
  }

  #ask(message: Record<string, unknown>): Promise<Answer> {
    const seq = ++this.#seq;
    return new Promise<Answer>((resolve, reject) => {
      if (!this.#child.connected) {
        reject(new Error("the guard of the servers has ended"));
        return;
      }
      this.#pending.set(seq, { resolve, reject });
      this.#keepAlive();
      this.#child.send({ ...message, seq }, (error) => {
        if (error) reject(error);
      });
    });
  }

  #receive(message: Answer | Exit): void {
    if ("exit" in message) {
      this.#running.get(message.exit)?.exited(message);
      this.#running.delete(message.exit);
      return;
    }
    const waiting = this.#pending.get(message.seq);
    this.#pending.delete(message.seq);
    this.#keepAlive();
    if (message.error === undefined) waiting?.resolve(message);
    else waiting?.reject(new Error(message.error));
  }

  /** Idle, the guard must not keep a process alive that forgot to stop its servers; waiting for an answer, it must. */
  #keepAlive(): void {
    const busy = this.#pending.size > 0;
    this.#child[busy ? "ref" : "unref"]();
    this.#child.channel?.[busy ? "ref" : "unref"]();
  }

  /** The guard was killed: nobody else would end its servers now. */
  #lost(): void {
    for (const { reject } of this.#pending.values()) reject(new Error("the guard of the servers has ended"));
    this.#pending.clear();
    for (const [, { pid, exited }] of this.#running) {
      try {
        if (pid > 0) process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
      exited({ exit: 0, code: null, signal: "SIGKILL" });
    }
    this.#running.clear();
  }
}

/** The last lines of a log, for an error message. */
export async function lastLines(file: string, count = 3): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.length === 0 ? "no output" : lines.slice(-count).join(" | ");
}
