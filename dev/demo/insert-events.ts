import type { Collection, Document } from "mongodb";
import type { SampleEvent } from "./sample-events.ts";

/** The totals that the cache must have for a tenant once every event is counted. */
export interface TenantTotals {
  events: number;
  malformed: number;
  tokens: number;
  /** billionths of a dollar */
  nanos: bigint;
}

export interface Inserted {
  readonly documents: number;
  /** events among them that no rebuild can see */
  readonly invisible: number;
  readonly late: number;
  /** by the text of the tenant's id, without invisible events */
  readonly tenants: ReadonlyMap<string, TenantTotals>;
}

const BATCH = 5_000;
/** Batches: while the server stores one, the next is generated. */
const BATCHES_AT_ONCE = 2;

/** Inserts the events and adds up the expected totals. Stops early, without an error, when `signal` aborts. */
export async function insertEvents(
  collection: Collection,
  sample: Iterable<SampleEvent>,
  signal: AbortSignal,
  onBatch: (documents: number) => void,
): Promise<Inserted> {
  const tenants = new Map<string, TenantTotals>();
  const sums = { documents: 0, invisible: 0, late: 0 };
  const iterator = sample[Symbol.iterator]();

  const nextBatch = (): Document[] => {
    const batch: Document[] = [];
    while (batch.length < BATCH) {
      const { value, done } = iterator.next() as IteratorResult<SampleEvent, undefined>;
      if (done) break;
      batch.push(value.document);
      if (value.late) sums.late++;
      if (value.counts) addTo(tenants, value.counts);
      else sums.invisible++;
    }
    return batch;
  };
  const insertRest = async () => {
    for (let batch = nextBatch(); batch.length > 0 && !signal.aborted; batch = nextBatch()) {
      await collection.insertMany(batch, { ordered: false });
      sums.documents += batch.length;
      onBatch(sums.documents);
    }
  };
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, insertRest));
  return { ...sums, tenants };
}

function addTo(tenants: Map<string, TenantTotals>, counts: NonNullable<SampleEvent["counts"]>): void {
  const totals = tenants.get(counts.tenant) ?? { events: 0, malformed: 0, tokens: 0, nanos: 0n };
  totals.events++;
  totals.malformed += counts.malformed ? 1 : 0;
  totals.tokens += counts.tokens;
  totals.nanos += BigInt(counts.nanos);
  tenants.set(counts.tenant, totals);
}
