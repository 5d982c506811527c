/** `ensure` for one index of MongoDB, with a ledger in memory. */
import type { Db } from "mongodb";
import { ensureOne } from "../../../src/indexes/ensure/ensure-one.ts";
import type { EnsureOutcome } from "../../../src/indexes/ensure/outcome.ts";
import type { Ensuring } from "../../../src/indexes/ensure/perform.ts";
import type { Ledger, LedgerEntry } from "../../../src/indexes/ledger/ledger.ts";
import { Recorder } from "../../../src/indexes/ledger/recorder.ts";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";
import { engineOn } from "./mongod.ts";

class MemoryLedger implements Ledger {
  entries: LedgerEntry[] = [];

  read(): Promise<readonly LedgerEntry[]> {
    return Promise.resolve([...this.entries]);
  }

  write(entry: Omit<LedgerEntry, "startedAt" | "finishedAt">): Promise<void> {
    const isSame = (one: LedgerEntry) => one.runId === entry.runId && one.name === entry.name;
    this.entries = [...this.entries.filter((one) => !isSame(one)), { ...entry, startedAt: new Date(0).toISOString() }];
    return Promise.resolve();
  }
}

type Declared = Omit<MongoIndex, "why">;
type Ready = Ensuring & { readonly ledger: MemoryLedger };

/** The first of these indexes is to be ensured; the others are declared beside it. */
export async function ensuring(
  db: Db,
  index: Declared | readonly [Declared, ...Declared[]],
  more: Partial<Ensuring> = {},
  ledger = new MemoryLedger(),
): Promise<Ready> {
  const [first, ...others] = Array.isArray(index) ? (index as readonly [Declared, ...Declared[]]) : [index as Declared];
  return {
    engine: await engineOn(db, first, ...others),
    recorder: new Recorder(ledger, "test", `run ${ledger.entries.length}`),
    ledger,
    target: "events",
    index: first,
    signal: new AbortController().signal,
    mayReplace: false,
    mayCreateTarget: false,
    ...more,
  };
}

export async function ensureIt(ready: Ready): Promise<{ outcome: EnsureOutcome; ledger: MemoryLedger }> {
  return { outcome: await ensureOne(ready, new Map()), ledger: ready.ledger };
}
