/** Maintenance of PostgreSQL: rebuilds an index online and analyzes its table. */
import { currentEntries, keyOf, type Ledger } from "../../ledger/ledger.ts";
import { messageOf, type Maintenance, type MaintenanceResult, type MaintenanceTask } from "../engine.ts";
import { qualified, tableOf } from "./ddl.ts";
import { clearLeftovers, openJournal, ownLeftovers, reindex } from "./reindex.ts";
import type { IndexSession } from "./session.ts";
import { sizeOf } from "./size.ts";

/** @param waitForBuild returns when no build is running on the target */
export function postgresMaintenance(
  session: IndexSession,
  ledger: Ledger,
  waitForBuild: (target: string, name: string) => Promise<void>,
): Maintenance {
  async function rebuild({ target, name = "", id }: MaintenanceTask): Promise<MaintenanceResult> {
    const started = performance.now();
    // Another run may have rebuilt it while this one waited for the lock.
    const before = await sizeOf(session, target, name);
    if (String(before.oid) !== id) return { action: "none", state: "left", why: "it was rebuilt meanwhile" };
    if (before.isPartitioned) {
      const why = `it is partitioned; in a quiet hour run: REINDEX INDEX CONCURRENTLY ${qualified(tableOf(target).schema, name)}, which rebuilds its partitions one by one`;
      return { action: "refused", state: "left", why };
    }
    await waitForBuild(target, name);
    await openJournal(session);
    const after = await reindex(session, target, name, before.bytes);
    const entry = currentEntries(await ledger.read()).get(keyOf({ target, name }));
    if (entry) {
      const { startedAt: _startedAt, finishedAt: _finishedAt, ...rest } = entry;
      await ledger.write({ ...rest, oid: after.oid, baseline: { bytes: after.bytes, rows: after.entries } });
    }
    const ms = Math.round(performance.now() - started);
    return { state: "done", bytesBefore: before.bytes, bytesAfter: after.bytes, ms };
  }

  return {
    leftovers: (target) => ownLeftovers(session, target),
    clear: (target, leftovers) => clearLeftovers(session, target, leftovers),

    async perform(task) {
      const started = performance.now();
      try {
        if (session.lost) await session.reopen();
        return await rebuild(task);
      } catch (error) {
        return { state: "failed", why: messageOf(error), ms: Math.round(performance.now() - started) };
      }
    },
  };
}
