/** What every test of the keeper's own work stands on: databases of the file's own, empty before each test. */
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { endProcesses } from "../../support/process.ts";
import { type Keeper, keeper, untilAlone } from "./keeper.ts";
import { FORGET, makeCache, type Scratch, scratch } from "./scratch.ts";

export interface Stage {
  readonly own: Scratch;
  readonly it: Keeper;
  /** a session of somebody else's, whose transaction ends with the test */
  readonly other: pg.Client;
}

/**
 * Registers the hooks. @param onReady gets the stage, once for the file
 * @param before what each test finds beside the empty ledger and the cache
 */
export function onStage(
  onReady: (stage: Stage) => void,
  before: () => Promise<unknown> = () => Promise.resolve(),
): void {
  let stage: Stage;
  beforeAll(async () => {
    const own = await scratch();
    stage = { own, it: keeper(own), other: await own.connect() };
    onReady(stage);
  });
  afterAll(() => stage.own.drop());
  beforeEach(async () => {
    const { mongo, sql } = stage.own;
    await mongo.dropDatabase();
    await sql.query(FORGET);
    await makeCache(sql);
    await before();
  });
  afterEach(async () => {
    await endProcesses();
    await stage.other.query("ROLLBACK");
    await untilAlone(stage.own.sql);
  });
}
