import { afterAll, beforeAll, expect, test } from "vitest";
import { createPool, inTransaction, type Pool } from "../../../src/db/postgres/pool.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("pool");
let pool: Pool;

beforeAll(() => {
  pool = createPool(world.env["DATABASE_URL"] as string, 1, () => undefined);
});
afterAll(async () => {
  await pool.end();
});

test("a transaction whose connection is lost between two statements throws, and the pool opens another connection", async () => {
  const lost = inTransaction(pool, async (connection) => {
    const { rows } = await connection.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    // Not events.once(), which would itself listen for errors; nobody asks the connection anything meanwhile.
    const ended = new Promise((resolve) => void connection.once("end", () => resolve(undefined)));
    await world.pool.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
    await ended;
    await connection.query("SELECT 1");
  });
  await expect(lost).rejects.toThrow();
  const answer = await inTransaction(pool, (connection) => connection.query<{ n: number }>("SELECT 1 AS n"));
  expect(answer.rows).toEqual([{ n: 1 }]);
});
