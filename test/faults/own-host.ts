import { execFile, execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Why no such host can be made here; undefined = it can. */
export function whyNoHost(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "only root of a Linux may make a network";
  try {
    execFileSync("ip", ["netns", "list"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "there is no ip command (Debian: apt-get install iproute2)";
  }
}

/** A host of a test's own: a network namespace with one link to this machine, which can be cut without a word. */
export class OwnHost {
  /** of this machine on the link */
  readonly address: string;
  readonly #name: string;
  /** the name of its own end of the link */
  readonly #link: string;

  private constructor(id: number) {
    this.#name = `tallyman${id}`;
    this.#link = `tally${id}t`;
    this.address = `10.213.${id}.1`;
  }

  static async create(): Promise<OwnHost> {
    const id = randomInt(1, 255);
    const host = new OwnHost(id);
    const here = `tally${id}h`;
    const there = host.#link;
    await run("ip", ["netns", "add", host.#name]);
    try {
      await run("ip", ["link", "add", here, "type", "veth", "peer", "name", there, "netns", host.#name]);
      await run("ip", ["addr", "add", `${host.address}/30`, "dev", here]);
      await run("ip", ["link", "set", here, "up"]);
      await run("ip", ["-n", host.#name, "addr", "add", `10.213.${id}.2/30`, "dev", there]);
      await run("ip", ["-n", host.#name, "link", "set", there, "up"]);
      await run("ip", ["-n", host.#name, "link", "set", "lo", "up"]);
      return host;
    } catch (error) {
      await host.remove();
      throw error;
    }
  }

  /** In front of a command line: starts it on the host, in the same process. */
  get launcher(): readonly string[] {
    return ["ip", "netns", "exec", this.#name];
  }

  /** From now on no packet leaves the host or reaches it. */
  async cut(): Promise<void> {
    await run("ip", ["-n", this.#name, "link", "set", this.#link, "down"]);
  }

  /** Packets pass again. */
  async heal(): Promise<void> {
    await run("ip", ["-n", this.#name, "link", "set", this.#link, "up"]);
  }

  /** Takes away the host with its link. Its processes must have ended. */
  async remove(): Promise<void> {
    // The link first: a namespace lives on for as long as a connection in it waits for an answer.
    await run("ip", ["-n", this.#name, "link", "delete", this.#link]).catch(() => undefined); // never made
    await run("ip", ["netns", "delete", this.#name]);
  }
}
