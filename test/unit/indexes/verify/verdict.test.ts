/** From plans to verdicts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Contract } from "../../../../src/indexes/manifest/manifest.ts";
import type { Access, PlanFacts } from "../../../../src/indexes/contract/plan-facts.ts";
import { type ContractEvidence, judgeContract, refused } from "../../../../src/indexes/contract/verdict.ts";
import { holds } from "../../../support/property.ts";

const access = (index: string | undefined, bounded = true): Access => ({
  stage: index ? "Index Scan" : "Seq Scan",
  index,
  bounded,
});
const plan = (index: string | undefined, more: Partial<PlanFacts> = {}): PlanFacts => ({
  accesses: [access(index)],
  sorts: [],
  covered: false,
  work: { returned: 10, examined: 10 },
  advice: [],
  ...more,
});
const WHOLE = plan(undefined, { work: { returned: 10, examined: 50_000 } });
const evidence = (more: Partial<ContractEvidence>): ContractEvidence => ({
  plan: plan("a"),
  size: "large",
  isReal: true,
  reasons: [],
  advice: [],
  ...more,
});
const verdict = (contract: Partial<Contract>, more: Partial<ContractEvidence>) =>
  judgeContract({ name: "c", ...contract }, ["a"], evidence(more));

describe("use", () => {
  test("a plan uses the contract if it names its index or one of orUses", () => {
    expect(verdict({}, {})).toMatchObject({
      verdict: "uses",
      ok: true,
      used: ["a"],
      returned: 10,
      examined: 10,
      why: [],
    });
    expect(judgeContract({ name: "c" }, ["b", "a"], evidence({}))).toMatchObject({ verdict: "uses", ok: true });
    expect(judgeContract({ name: "c" }, [], evidence({}))).toMatchObject({ verdict: "uses", ok: true });
  });

  test('on a small table "could use" is enough; on a large one only with mode could', () => {
    const could = { plan: WHOLE, forced: plan("a") };
    expect(verdict({}, { ...could, size: "small" })).toMatchObject({ verdict: "could use", ok: true, examined: 10 });
    expect(verdict({ mode: "could" }, could)).toMatchObject({ verdict: "could use", ok: true });
    const large = verdict({}, could);
    expect(large).toMatchObject({ verdict: "could use", ok: false });
    expect(large.why[0]).toMatch(/^reads everything \(Seq Scan\), although there is much data/);
  });

  test("in a forced plan a full read of an index counts only if it saves the sort or the table", () => {
    const whole = plan("a", { accesses: [access("a", false)] });
    expect(verdict({}, { plan: WHOLE, forced: whole, size: "small" })).toMatchObject({
      verdict: "cannot use",
      ok: false,
    });
    expect(verdict({ noSort: true }, { plan: WHOLE, forced: whole, size: "small" })).toMatchObject({
      verdict: "could use",
      ok: true,
    });
    expect(verdict({ noSort: true }, { plan: WHOLE, forced: { ...whole, sorts: ["x"] }, size: "small" }).ok).toBe(
      false,
    );
  });

  test('"cannot use" has a reason: one that was found, or what the plan does instead', () => {
    expect(verdict({}, { plan: WHOLE, reasons: ["no condition"] })).toMatchObject({ ok: false, why: ["no condition"] });
    expect(verdict({}, { plan: WHOLE }).why).toEqual(["reads everything (Seq Scan)"]);
    expect(verdict({}, { plan: plan("b") }).why).toEqual(["uses b instead"]);
    expect(verdict({}, { plan: plan(undefined, { accesses: [] }) }).why).toEqual(["reads nothing at all"]);
    const shard = { ...access(undefined), shard: "s2" };
    expect(verdict({}, { plan: plan("a", { accesses: [access("a"), shard] }) }).why).toEqual([
      "reads everything (Seq Scan) on s2",
    ]);
    expect(refused("no such table")).toMatchObject({ verdict: "cannot use", ok: false, why: ["no such table"] });
  });

  test('without data the verdict is at most "could use", and the contract is not broken', () => {
    const none = { isReal: false, size: "empty" } as const;
    expect(verdict({}, { ...none })).toMatchObject({ verdict: "could use", ok: true });
    expect(verdict({}, { ...none, plan: WHOLE, reasons: ["r"] })).toMatchObject({
      verdict: "no data",
      ok: true,
      why: [expect.anything(), "r"],
    });
    expect(verdict({}, { ...none, isReal: true, plan: WHOLE })).toMatchObject({ verdict: "cannot use", ok: false });
  });
});

describe("cannot", () => {
  const because = "no index leads with it";
  test("a contract with mode cannot passes if no index is used, with its reason", () => {
    expect(verdict({ mode: "cannot", because }, { plan: WHOLE })).toMatchObject({
      verdict: "cannot use",
      ok: true,
      why: [because],
    });
    expect(verdict({ mode: "cannot" }, { plan: WHOLE, reasons: ["r"] }).why).toEqual(["r"]);
  });

  test("an index that is used despite mode cannot is advice", () => {
    expect(verdict({ mode: "cannot", because }, {})).toMatchObject({ ok: true, advice: ["it uses a after all"] });
    const could = verdict({ mode: "cannot", because }, { plan: WHOLE, forced: plan("a") });
    expect(could).toMatchObject({ ok: true, verdict: "could use", advice: ["it could use: a after all"] });
  });
});

describe("promises", () => {
  test("examining more for each returned than promised breaks the contract", () => {
    const contract = { maxExaminedPerReturned: 1.1 };
    const work = (examined: number, returned: number) => ({ plan: plan("a", { work: { examined, returned } }) });
    expect(verdict(contract, work(11, 10)).ok).toBe(true);
    expect(verdict(contract, work(12, 10)).why).toEqual([
      "examines 12 to return 10; the contract promises at most 1.1 for each",
    ]);
    expect(verdict(contract, work(0, 0))).toMatchObject({
      ok: true,
      advice: ["the query returned nothing, which proves little"],
    });
    expect(verdict(contract, work(2, 0)).ok).toBe(false);
    // Neither more returned nor less examined can break it.
    holds(
      fc.property(fc.nat(1000), fc.nat(1000), fc.nat(10), (examined, returned, more) => {
        const before = verdict(contract, work(examined, returned)).ok;
        if (!before) return;
        expect(verdict(contract, work(examined, returned + more)).ok).toBe(true);
        expect(verdict(contract, work(Math.max(0, examined - more), returned)).ok).toBe(true);
      }),
    );
  });

  test("a sort that the index cannot serve breaks noSort; one that it could save is advice", () => {
    const sorted = plan("a", { sorts: ["at DESC"] });
    expect(verdict({ noSort: true }, { plan: sorted, forced: sorted })).toMatchObject({
      verdict: "uses",
      ok: false,
      why: ["the order is not served: sorts by at DESC"],
    });
    expect(verdict({ noSort: true }, { plan: sorted, forced: plan("a") })).toMatchObject({
      verdict: "uses",
      ok: true,
      advice: ["at present the plan sorts by at DESC, though the index has that order"],
    });
    expect(verdict({}, { plan: sorted }).ok).toBe(true);
  });

  test("a plan that reads the table breaks covered", () => {
    expect(verdict({ covered: true }, { plan: plan("a", { covered: true }) }).ok).toBe(true);
    expect(verdict({ covered: true }, { forced: plan("a") }).why).toEqual(["not answered from the index alone"]);
    const spared = verdict({ covered: true }, { forced: plan("a", { covered: true }) });
    expect(spared).toMatchObject({ ok: true, advice: [expect.stringMatching(/^at present the plan reads the table/)] });
  });

  test("a query over its time breaks the contract, also one that did not end", () => {
    expect(verdict({ maxMs: 50 }, { ms: 50 }).ok).toBe(true);
    expect(verdict({ maxMs: 50 }, { ms: 51.4 }).why).toEqual(["takes 51 ms; the contract promises 50 ms"]);
    expect(verdict({ maxMs: 5 }, { ms: 7.31 }).why).toEqual(["takes 7.3 ms; the contract promises 5 ms"]);
    expect(verdict({}, { ms: 1e6 }).ok).toBe(true);
    expect(verdict({}, { endedAfterMs: 10_000 }).why).toEqual(["did not end within 10000 ms"]);
  });

  test("a promise that the server cannot show is unchecked, neither kept nor broken", () => {
    const silent = plan("a", { work: undefined, covered: undefined });
    const all = { maxExaminedPerReturned: 1, covered: true, noSort: true } as const;
    expect(verdict(all, { plan: silent, untold: ["no sort"] })).toMatchObject({
      ok: true,
      unchecked: ["no sort", "examined per returned", "covered"],
    });
    expect(verdict({}, { plan: silent, untold: ["no sort"] }).unchecked).toEqual([]);
  });
});
