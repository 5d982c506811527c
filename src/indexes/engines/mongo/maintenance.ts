/** Maintenance of MongoDB: compacts a collection with its indexes, on the connected node. */
import type { Db } from "mongodb";
import { serverCode } from "../../../mongo/errors.ts";
import { messageOf, type Maintenance, type MaintenanceResult, type MaintenanceTask } from "../engine.ts";

const NO_SUCH_COMMAND: ReadonlySet<number | undefined> = new Set([59, 115, 238]);

export function mongoMaintenance(db: Db): Maintenance {
  return {
    leftovers: () => Promise.resolve([]),
    clear: () => Promise.resolve(),

    async perform(task) {
      try {
        return await compact(db, task);
      } catch (error) {
        if (NO_SUCH_COMMAND.has(serverCode(error))) {
          return { action: "refused", state: "left", why: `this server has no compact: ${messageOf(error)}` };
        }
        return { state: "failed", why: messageOf(error) };
      }
    },
  };
}

async function compact(db: Db, { target, why }: MaintenanceTask): Promise<MaintenanceResult> {
  const started = performance.now();
  const answer = await db.command({ compact: target });
  const sizes = await db.command({ collStats: target });
  const freed = answer["bytesFreed"] as unknown;
  return {
    state: "done",
    why: freed === undefined ? why : `${why}; the server says that it freed ${Number(freed)} bytes`,
    bytesAfter: Number(sizes["storageSize"]) + Number(sizes["totalIndexSize"]),
    ms: Math.round(performance.now() - started),
  };
}
