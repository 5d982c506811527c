/**
 * `npm run demo:indexes`: shows the index keeper for each of the five documents, on an empty and on a filled database:
 * ensure, check, verify, ensure again, rollback. Every step runs the command in a process of its own. The catalogs of
 * both databases are compared before, between and after the steps.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { MongoClient } from "mongodb";
import pg from "pg";
import { SAMPLE_DATA } from "../manifests/data/index.ts";
import { fill } from "../manifests/data/fill.ts";
import { table } from "../src/cli/table.ts";
import { migrate } from "../src/db/postgres/migrate.ts";
import { EXIT } from "../src/errors.ts";
import { readCatalog } from "./demo/index-catalog.ts";
import { heading, indented, say, wrapped } from "./demo/print.ts";
import { createWorld, type World } from "./demo/world.ts";
import { startServers, type Servers } from "./servers.ts";

const PROGRAM = fileURLToPath(new URL("../bin/tallyman.js", import.meta.url));

/** A source document, and the part of a manifest for it. */
interface Source {
  readonly title: string;
  readonly manifest: string;
  readonly engine: "mongodb" | "postgres";
}

const SOURCES: readonly Source[] = [
  { title: "000 usage events", manifest: "usage", engine: "mongodb" },
  { title: "001 EarlyBird", manifest: "earlybird", engine: "mongodb" },
  { title: "002 daily_usage_cache", manifest: "usage", engine: "postgres" },
  { title: "003 PetBuddy", manifest: "petbuddy", engine: "mongodb" },
  { title: "004 JustoAI", manifest: "justoai", engine: "postgres" },
];

interface Outcome {
  readonly source: string;
  readonly database: string;
  readonly created: number;
  readonly verified: string;
  readonly again: number;
  readonly rolledBack: string;
  readonly faults: readonly string[];
}

await new Command("npm run demo:indexes --")
  .description("Ensure, check, verify and roll back the indexes of the five source documents, empty and filled.")
  .option("--rows <count>", "documents or rows of a main collection or table", Number, 20_000)
  .option("--only <text>", "only the sources whose title holds this text", "")
  .allowExcessArguments(false)
  .action(main)
  .parseAsync();

async function main({ rows, only }: { rows: number; only: string }): Promise<void> {
  const servers = await startServers({ print: (line) => say(wrapped(line, "  ")) });
  const outcomes: Outcome[] = [];
  try {
    for (const source of SOURCES.filter(({ title }) => title.includes(only))) {
      for (const count of [0, rows]) outcomes.push(await show(servers, source, count));
    }
  } finally {
    await servers.stop();
  }
  heading("All of it");
  say(
    table(
      ["document", "database", "ensure", "verify", "ensure again", "rollback", "fault"],
      outcomes.map(({ source, database, created, verified, again, rolledBack, faults }) => [
        source,
        database,
        `${created} created`,
        verified,
        `${again} created`,
        rolledBack,
        faults.join("; ") || null,
      ]),
    ).join("\n"),
  );
  process.exitCode = outcomes.some(({ faults }) => faults.length > 0) ? EXIT.failed : EXIT.done;
}

async function show(servers: Servers, { title, manifest, engine }: Source, rows: number): Promise<Outcome> {
  const database = rows === 0 ? "empty" : `filled, ${rows.toLocaleString("en")}`;
  heading(`${title}, ${database}`);
  const world = await createWorld(servers);
  const faults: string[] = [];
  const expect = (holds: boolean, fault: string) => void (holds || faults.push(fault));
  try {
    await prepare(world, manifest, rows);
    const before = await readCatalog(world.env);
    const part = ["--manifest", manifest, "--engine", engine];
    const first = await tallyman(world, ["ensure", ...part, "--allow-blocking"], faults);
    const there = await readCatalog(world.env);
    expect(there.length > before.length, "ensure made nothing");
    await tallyman(world, ["check", ...part], faults);
    const verified = await tallyman(world, ["verify", ...part], faults);
    const second = await tallyman(world, ["ensure", ...part], faults);
    expect(same(await readCatalog(world.env), there), "the second ensure changed the catalog");
    await tallyman(world, ["rollback", ...part, "--yes"], faults);
    const isAsBefore = same(await readCatalog(world.env), before);
    expect(isAsBefore, "the catalog is not as before");
    const rolledBack = isAsBefore ? "catalog as before" : "catalog differs";
    const created = [first, second].map((text) => Number(/(\d+) created/.exec(text)?.[1] ?? Number.NaN));
    expect(created[1] === 0, "the second ensure created indexes");
    return {
      source: title,
      database,
      created: created[0] ?? 0,
      verified: verified.trimEnd().split("\n").at(-1) ?? "",
      again: created[1] ?? 0,
      rolledBack,
      faults,
    };
  } finally {
    await world.end();
  }
}

/** Creates the tables of a system and fills them with sample data. */
async function prepare({ env }: World, manifest: string, rows: number): Promise<void> {
  const data = SAMPLE_DATA[manifest];
  if (!data) throw new Error(`there is no sample data for ${manifest}`);
  if (manifest === "usage") await migrate(env.DATABASE_URL, "up");
  const client = await MongoClient.connect(env.MONGODB_URI);
  const sql = new pg.Client(env.DATABASE_URL);
  try {
    await sql.connect();
    const target = { mongo: client.db(), sql };
    await data.prepare(target);
    if (rows > 0) await fill(data, target, rows);
  } finally {
    await Promise.all([client.close(), sql.end()]);
  }
}

/** Runs `tallyman indexes ...args`, prints its output and returns it. */
async function tallyman({ env }: World, args: readonly string[], faults: string[]): Promise<string> {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [PROGRAM, "indexes", ...args], {
    env: { PATH, HOME, ...env, LOG_LEVEL: "warn" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaint = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  say(`\n$ tallyman indexes ${args.join(" ")}   # exit ${code}`);
  say(indented(output.trimEnd()));
  if (code !== EXIT.done) {
    say(indented(complaint.trimEnd()));
    faults.push(`${args[0]}: exit ${code}`);
  }
  return output;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
