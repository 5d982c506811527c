import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createPool, inTransaction, type Pool } from "../../../src/db/postgres/pool.ts";
import { againOnRace } from "../../../src/db/postgres/race.ts";
import { isLostForWrites } from "../../../src/errors.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { openedForEach } from "../../support/opened.ts";
import { endProcesses, run, start, startWorker, untilWorked } from "../../support/process.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { useWorld, useWorlds } from "../../support/world.ts";

const world = useWorld("loss");
const openWorld = useWorlds("down");
const url = () => world.env["DATABASE_URL"] as string;

beforeEach(() => world.reset());
afterEach(endProcesses);

describe("a session that is of no use any more", () => {
  test.for([
    ["takes no writes, as one of a former primary", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "25006"],
    ["was ended in a transaction", "SET idle_in_transaction_session_timeout = 100", "25P03"],
  ])("is not used again: it %s", async ([, spoil, code]) => {
    const pool: Pool = createPool(url(), 1, () => undefined);
    try {
      await pool.query(spoil as string);
      const before = await backend(pool);
      const error: unknown = await inTransaction(pool, async (connection) => {
        if (code === "25P03") await ended(pool); // by the server, while we say nothing
        await connection.query("UPDATE usage_meta SET value = value");
      }).catch((reason: unknown) => reason);
      expect(isLostForWrites(error)).toBe(true);
      expect(await backend(pool)).not.toBe(before);
      await inTransaction(pool, (connection) => connection.query("UPDATE usage_meta SET value = value"));
    } finally {
      await pool.end();
    }
  });

  const backend = async (pool: Pool) =>
    (await pool.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid;
  /** Asks another connection whether the only one of the pool is gone. */
  const ended = (_pool: Pool) =>
    untilWorked("end of the session", async () => {
      const { rows } = await world.pool.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'tallyman' AND state = 'idle in transaction'`,
      );
      return rows[0]?.n === 0;
    });
});

test("a limit of the user's on waiting for a lock is a race that is run again, not a failure", async () => {
  let tries = 0;
  const result = await againOnRace(() => {
    if (++tries < 3)
      return Promise.reject(Object.assign(new Error("canceling statement due to lock timeout"), { code: "55P03" }));
    return Promise.resolve("done");
  });
  expect({ result, tries }).toEqual({ result: "done", tries: 3 });
});

describe("a PostgreSQL that says nothing", () => {
  const proxy = openedForEach(() => TcpProxy.open(url()));

  test("from the start ends a command with 5 and a line that names the setting", async () => {
    proxy.silence();
    const ended = await run({ ...world.env, DATABASE_URL: proxy.through(url()) }, "status");
    expect(ended.code).toBe(5);
    expect(ended.stderr).toMatch(/^tallyman: PostgreSQL cannot be reached: .*DATABASE_URL.*\n$/);
  });

  test("in the middle does not keep a command from ending at a signal", async () => {
    await world.insert(daysOfEvents("acme", "2026-02-27", 2));
    const env = { ...world.env, DATABASE_URL: proxy.through(url()) };
    const asked = await run(env, "backfill", "--from", "2026-02-27", "--to", "2026-02-28", "--json");
    const { run: backfill } = JSON.parse(asked.stdout) as { run: { id: string } };
    const watch = start(env, ["runs", "show", backfill.id, "--watch", "--json"]);
    await untilWorked("first line of the watch", () => watch.stdout().includes("\n"));
    proxy.silence();
    watch.signal("SIGTERM");
    expect((await watch.ended).code).toBe(130);
  });
});

test("tables that were migrated down under a worker end it, with the command that brings them back", async () => {
  const { env } = await openWorld();
  const worker = await startWorker(env);
  expect(await run(env, "migrate", "down", "--yes")).toMatchObject({ code: 0 });
  const { code, stderr } = await worker.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /tallyman: The tables or the settings .*\nThe database lacks 1 migrations .* Run: tallyman migrate up\n$/,
  );
});
