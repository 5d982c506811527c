import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import type { Pool } from "../../../src/db/postgres/pool.ts";
import { holds } from "../../support/property.ts";
import { useWorld } from "../../support/world.ts";
import { day, rows, span, TenantTables, type State } from "./tenant-tables.ts";

const world = useWorld("law");
let pool: Pool;
let tables: TenantTables;
beforeAll(async () => {
  pool = await world.services.rawPool();
  tables = new TenantTables(pool);
});

test("within the computed range every day up to the last is a row, whatever happened before", async () => {
  const number = fc.integer({ min: 1, max: 24 });
  const tenant = fc.constantFrom("a", "b");
  const stretch = fc.tuple(number, number).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  const step = fc.oneof(
    fc.record({
      do: fc.constant("widen" as const),
      tenant,
      days: stretch,
      searched: fc.option(number, { nil: undefined }),
    }),
    fc.record({
      do: fc.constant("run" as const),
      spans: fc.array(fc.record({ tenant, days: stretch }), { minLength: 1, maxLength: 3 }),
      /** days that fail, are refused without a row, or are open still */
      missing: fc.array(number, { maxLength: 3 }),
      open: fc.array(number, { maxLength: 1 }),
      overAll: fc.boolean(),
    }),
    fc.record({ do: fc.constant("undo" as const), tenant, numbers: fc.array(number, { minLength: 1, maxLength: 2 }) }),
  );
  await holds(
    fc
      .asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const model = new Map(["a", "b"].map((name) => [name, new ModelTenant()]));
        const of = (name: string) => model.get(name) as ModelTenant;
        for (const name of ["a", "b"]) await tables.widen(name, 1, of(name).last);
        for (const action of steps) {
          if (action.do === "widen") {
            await tables.widen(action.tenant, ...action.days, action.searched);
            of(action.tenant).widen(action.days[1], action.searched);
          } else if (action.do === "undo") {
            await tables.remove(action.tenant, action.numbers);
            of(action.tenant).remove(action.numbers);
          } else {
            for (const { tenant: name, days } of action.spans) {
              const written = [...rows(days[0], days[1]).keys()].filter((one) => !action.missing.includes(one));
              const stateOf = (one: number): State =>
                action.open.includes(one) && !of(name).read.has(one) ? "open" : "final";
              await tables.store(name, new Map(written.map((one) => [one, stateOf(one)])));
              for (const one of written) if (stateOf(one) === "final") of(name).read.add(one);
            }
            await tables.end(
              action.spans.map(({ tenant: name, days }) => span(name, ...days)),
              action.overAll,
            );
            for (const name of ["a", "b"]) {
              const touched = action.spans.filter((one) => one.tenant === name).map(({ days }) => days);
              of(name).end(touched, action.overAll);
            }
          }
          for (const name of ["a", "b"]) {
            const [lo, hi] = await tables.range(name);
            expect([lo, hi], name).toEqual(of(name).range ?? [null, null]);
            if (lo == null || hi == null) continue;
            const { rows: gaps } = await pool.query(
              `SELECT d FROM generate_series(0, $2::date - $1::date) n CROSS JOIN LATERAL (SELECT $1::date + n) x (d)
                 JOIN usage_tenant t ON t.tenant_id = $3
                WHERE NOT EXISTS (SELECT FROM daily_usage_cache WHERE tenant_id = $3 AND date = d AND state <> 'open')
                  AND (d <= t.last_day OR d > coalesce(t.searched_through, '-infinity'))`,
              [day(lo), day(hi), name],
            );
            expect(gaps, `${name} from ${lo} to ${hi}`).toEqual([]);
          }
        }
      })
      .beforeEach(async () => void (await world.reset())),
    40,
  );
});

/** The computed range that the statements must reach, computed over sets of days. */
class ModelTenant {
  last = 5;
  searched = 0;
  /** days with a row that was read after they ended */
  readonly read = new Set<number>();
  range: [number, number] | undefined;

  widen(last: number, searched = 0): void {
    if (last > this.last) {
      const [lo, hi] = this.range ?? [Infinity, Infinity];
      this.range = lo <= this.last ? [lo, Math.min(hi, this.last)] : undefined;
    }
    this.last = Math.max(this.last, last);
    this.searched = Math.max(this.searched, searched);
  }

  remove(numbers: readonly number[]): void {
    for (const number of numbers) this.read.delete(number);
    if (!this.range) return;
    const [lo, hi] = this.range;
    const inside = numbers.filter((number) => number >= lo && number <= hi);
    if (inside.length === 0) return;
    const [first, last] = [Math.min(...inside), Math.max(...inside)];
    this.range = last < hi ? [last + 1, hi] : first > lo ? [lo, first - 1] : undefined;
  }

  end(touched: readonly (readonly [number, number])[], overAll: boolean): void {
    const seen = [...this.read].filter((one) => touched.some(([from, to]) => one >= from && one <= to));
    if (seen.length > 0) {
      const latest = Math.max(...seen);
      const around = (lo: number, hi: number): [number, number] => {
        while (this.read.has(lo - 1)) lo--;
        while (this.read.has(hi + 1)) hi++;
        return [lo, hi];
      };
      const grown = this.range && around(...this.range);
      const [lo, hi] = grown && latest <= grown[1] ? grown : around(latest, latest);
      this.range = [lo, hi >= this.last ? Math.max(hi, this.searched) : hi];
    }
    if (overAll && this.range && this.range[1] >= this.last) this.range[1] = Math.max(this.range[1], this.searched);
  }
}
