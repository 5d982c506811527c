/**
 * What the keeper relies on in every engine. A new engine passes by a harness of its own in engine-conformance.test.ts:
 * a target, definitions for it, and how to put rows there; the tests are the same for all.
 */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fingerprint, sameForm } from "../../../src/indexes/decision/normal-form.ts";
import type { ActualIndex } from "../../../src/indexes/decision/observation.ts";
import { stateOf } from "../../../src/indexes/decision/state.ts";
import type { Engine } from "../../../src/indexes/engines/engine.ts";
import { FACTS } from "../../../src/indexes/engines/facts.ts";
import { withEngines } from "../../../src/indexes/engines/open.ts";
import { currentEntries, keyOf, type LedgerEntry } from "../../../src/indexes/ledger/ledger.ts";
import { markOf } from "../../../src/indexes/ledger/recorder.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { findMade } from "../../../src/indexes/rollback/undo.ts";
import { type Scratch, scratch } from "./scratch.ts";

export const NAME = "by_a";

export interface Harness {
  readonly target: string;
  /** each declares the index NAME of the target, and nothing else */
  readonly manifests: {
    readonly plain: Manifest;
    /** other keys than `plain` */
    readonly other: Manifest;
    readonly unique: Manifest;
    /** unlike `plain` in what is changed without a build; absent where there is no such thing */
    readonly attribute?: Manifest;
  };
  /** The engine makes and drops targets. */
  readonly makesTargets: boolean;
  /** A build that fails leaves an invalid index. */
  readonly leavesInvalid: boolean;
  /** Leaves neither the target nor a ledger. */
  reset(own: Scratch): Promise<void>;
  /** An empty target. */
  makeTarget(own: Scratch): Promise<void>;
  /** Two rows or documents that `unique` would refuse. */
  addDuplicates(own: Scratch): Promise<void>;
}

export function conforms(name: string, harness: Harness): void {
  const { target, manifests } = harness;

  describe(`the engine of ${name}`, () => {
    let own: Scratch;
    beforeAll(async () => {
      own = await scratch();
    });
    afterAll(() => own.drop());
    beforeEach(() => harness.reset(own));

    const open = <T>(manifest: Manifest, work: (engine: Engine) => Promise<T>): Promise<T> => {
      const targets = { manifest, mongo: own.mongo, databaseUrl: own.databaseUrl, allowBlocking: true };
      return withEngines(targets, "change", ({ engines }) => {
        const [engine] = engines;
        if (!engine || engines.length > 1) throw new Error("the manifest is of one engine");
        return work(engine);
      });
    };
    const stateIn = async (engine: Engine) => stateOf(await engine.observe(target), NAME);
    /** The one index beside the primary key. */
    const onlyIndex = async (engine: Engine): Promise<ActualIndex> => {
      const { actual } = await engine.observe(target);
      const [only, ...others] = actual.filter(({ guards }) => guards !== "primary key" && guards !== "constraint");
      if (!only || others.length > 0) throw new Error(`${others.length + (only ? 1 : 0)} indexes`);
      return only;
    };

    test("gives its constant properties, its name and its targets", async () => {
      await open(manifests.plain, async (engine) => {
        expect(FACTS[engine.name]).toBeDefined();
        expect([...engine.targets.keys()]).toEqual([target]);
        expect(engine.definition(target, NAME)).toContain(NAME);
        expect(await engine.statistics.database()).not.toBe("");
        expect(await engine.statistics.rebuilds()).toEqual(new Map());
      });
    });

    test("sees that a target is missing, and creates it if the engine creates targets", async () => {
      await open(manifests.plain, async (engine) => {
        expect(await engine.observe(target)).toMatchObject({ isMissing: true, actual: [], busy: false });
        expect(await stateIn(engine)).toMatchObject({ state: "without target" });
        expect(await engine.statistics.figures(target, new Date().toISOString())).toHaveProperty("unusable");
        if (harness.makesTargets) {
          await engine.createTarget(target);
          await engine.createTarget(target);
          expect(await stateIn(engine)).toEqual({ state: "missing" });
          expect(await engine.dropTarget(target)).toBeUndefined();
          expect(await stateIn(engine)).toMatchObject({ state: "without target" });
        } else {
          await expect(engine.createTarget(target)).rejects.toThrow(target);
          expect(await engine.dropTarget(target)).toEqual(expect.any(String));
        }
      });
    });

    test("creates an index that it then observes as the declared one; a second create and a second drop change nothing", async () => {
      await harness.makeTarget(own);
      await open(manifests.plain, async (engine) => {
        expect(await stateIn(engine)).toEqual({ state: "missing" });
        expect(await engine.refusal(target, NAME)).toBeUndefined();
        expect(await engine.duplicates(target, NAME)).toBeUndefined();
        await engine.waitForBuild(target, NAME); // nobody builds
        await engine.create(target, NAME);
        const { declared } = await engine.observe(target);
        const wanted = declared.get(NAME);
        if (!wanted || wanted instanceof Error) throw new Error("not declared", { cause: wanted });
        const made = await onlyIndex(engine);
        expect(made).toMatchObject({ name: NAME, form: wanted.form, valid: true, building: false });

        const error: unknown = await engine.create(target, NAME).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error === undefined ? "again" : await engine.recovery(error)).toBe("again");
        expect((await onlyIndex(engine)).oid).toBe(made.oid);

        await engine.drop(target, NAME);
        await engine.drop(target, NAME);
        expect(await stateIn(engine)).toEqual({ state: "missing" });
      });
    });

    test("discovers its index, but not what every target has, as a declaration that is then the declared one", async () => {
      expect(await open(manifests.plain, (engine) => engine.discovery.targets())).toEqual([]);
      await harness.makeTarget(own);
      const declaration = await open(manifests.plain, async (engine) => {
        await engine.create(target, NAME);
        expect(await engine.discovery.targets()).toEqual([target]);
        const { indexes } = await engine.discovery.read(target);
        const index = indexes.find(({ name }) => name === NAME);
        expect(index?.definition).toContain(NAME);
        return index?.declaration;
      });
      expect(declaration).toMatchObject({ name: NAME });
      const found = [{ why: "test", ...declaration }] as never;
      const key = manifests.plain.mongo ? "mongo" : "postgres";
      const manifest: Manifest = { ...manifests.plain, [key]: { [target]: found } };
      await open(manifest, async (engine) => expect(await stateIn(engine)).toEqual({ state: "present" }));
    });

    test("names the parts in which an index differs from the declared one", async () => {
      await harness.makeTarget(own);
      await open(manifests.plain, (engine) => engine.create(target, NAME));
      await open(manifests.other, async (engine) => {
        const state = await stateIn(engine);
        if (state.state !== "different") throw new Error(state.state);
        expect(state.parts).toContain("keys");
        expect(state.found).toMatchObject({ name: NAME, valid: true });
      });
    });

    test("finds duplicates before a unique build, calls the build's error final, and drops its leftover", async () => {
      await harness.makeTarget(own);
      await harness.addDuplicates(own);
      await open(manifests.unique, async (engine) => {
        expect(await engine.duplicates(target, NAME)).toMatch(/^not unique: .* 2 times/);
        const error: unknown = await engine.create(target, NAME).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).toBeInstanceOf(Error);
        expect(await engine.recovery(error)).toBe("fail");
        expect(await stateIn(engine)).toEqual({ state: harness.leavesInvalid ? "invalid" : "missing" });
        expect(engine.removal(target, NAME) !== undefined).toBe(harness.leavesInvalid);
        await engine.dropInvalid(target, NAME);
        expect(await stateIn(engine)).toEqual({ state: "missing" });
      });
    });

    const entryOf = (engine: Engine, runId: string): Omit<LedgerEntry, "startedAt" | "finishedAt"> => ({
      ...{ target, name: NAME, project: "test", runId, intent: "create", state: "started", fingerprint: "f" },
      // What a statement, or an update in the server's own language, would take for a part of itself.
      definition: `$name ${engine.definition(target, NAME)} '"\\`,
    });

    test("keeps a ledger: a run's later entry overwrites its earlier one, and is read as it was written", async () => {
      await open(manifests.plain, async (engine) => {
        expect(await engine.ledger.read()).toEqual([]);
        const entry = entryOf(engine, randomUUID());
        await engine.ledger.write(entry);
        const [started, ...others] = await engine.ledger.read();
        expect(others).toEqual([]);
        expect(started).toEqual({ ...entry, startedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string });

        const done = { ...entry, state: "done", baseline: { bytes: 8_192, rows: 3 }, oid: 7 } as const;
        await engine.ledger.write(done);
        const { startedAt = "" } = started ?? {};
        expect(await engine.ledger.read()).toEqual([
          { ...done, startedAt, finishedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string },
        ]);

        const later = { ...entryOf(engine, randomUUID()), state: "failed", error: "no space" } as const;
        await engine.ledger.write(later);
        expect((await engine.ledger.read()).map(({ runId }) => runId)).toEqual([entry.runId, later.runId]);
        const current = currentEntries(await engine.ledger.read()).get(keyOf({ target, name: NAME }));
        expect(current).toMatchObject(later);
      });
    });

    test("claims an index, and recognises it by the identity in the ledger", async () => {
      await harness.makeTarget(own);
      await open(manifests.plain, async (engine) => {
        await engine.create(target, NAME);
        const { form } = await onlyIndex(engine);
        const print = fingerprint(form);
        const identity = await engine.claim(target, NAME, markOf("test", print));
        const view = await engine.observe(target);
        const entry: LedgerEntry = {
          ...entryOf(engine, randomUUID()),
          ...identity,
          ...{ fingerprint: print, state: "done", startedAt: "2026-01-01T00:00:00Z" },
        };
        expect(findMade(view, entry)).toMatchObject({ is: "there", index: { name: NAME } });
        // The same one made again by somebody else is not the keeper's, where the server tells them apart.
        await engine.drop(target, NAME);
        expect(findMade(await engine.observe(target), entry)).toEqual({ is: "gone" });
        await engine.create(target, NAME);
        const again = findMade(await engine.observe(target), entry);
        expect(again.is).toBe(identity.oid === undefined ? "there" : "kept");
      });
    });

    test("replaces an index, leaves no other index behind, and brings the old one back from its definition", async () => {
      await harness.makeTarget(own);
      const before = await open(manifests.plain, async (engine) => {
        await engine.create(target, NAME);
        return onlyIndex(engine);
      });
      await open(manifests.other, async (engine) => {
        expect(await engine.replacement.finish(target, NAME)).toBe(false);
        expect(await engine.replacement.abandon(target, NAME)).toBe(false);
        expect(engine.replacement.obstacle(target, NAME, before)).toBeUndefined();
        expect(before.definition).toBeDefined();
        await engine.replacement.perform(target, NAME, before);
        expect(await stateIn(engine)).toMatchObject({ state: "present" });
        const made = await onlyIndex(engine);
        expect(sameForm(made.form, before.form)).toBe(false);
        expect(await engine.replacement.finish(target, NAME)).toBe(false);
        expect(await engine.replacement.abandon(target, NAME)).toBe(false);
        expect(await stateIn(engine)).toMatchObject({ state: "present" });

        const entry: LedgerEntry = {
          ...entryOf(engine, randomUUID()),
          ...{ intent: "replace", previous: before.definition ?? "", startedAt: "2026-01-01T00:00:00Z" },
        };
        expect(await engine.replacement.restore(entry, made)).toBeUndefined();
        expect(await engine.replacement.restore(entry, await onlyIndex(engine))).toBeUndefined();
      });
      await open(manifests.plain, async (engine) => {
        expect(await stateIn(engine)).toEqual({ state: "present" });
        expect(await onlyIndex(engine)).toMatchObject({ name: NAME, form: before.form });
      });
    });

    test("names the parts that it changes without a build, and changes them in place", async () => {
      await harness.makeTarget(own);
      await open(manifests.plain, (engine) => engine.create(target, NAME));
      const { attribute } = manifests;
      if (!attribute) {
        await open(manifests.plain, async (engine) => {
          expect((await engine.observe(target)).rules.attributes ?? new Set()).toEqual(new Set());
        });
      } else {
        await open(attribute, async (engine) => {
          const { rules } = await engine.observe(target);
          const state = await stateIn(engine);
          if (state.state !== "different" || !state.found) throw new Error(state.state);
          expect(state.parts.every((part) => rules.attributes?.has(part))).toBe(true);
          expect(engine.replacement.obstacle(target, NAME, state.found)).toBeUndefined();
          await engine.replacement.perform(target, NAME, state.found);
          expect(await stateIn(engine)).toEqual({ state: "present" });
        });
      }
    });

    test("gives figures of the target and of each index, and gives space back or says why not", async () => {
      await harness.makeTarget(own);
      await harness.addDuplicates(own);
      await open(manifests.plain, async (engine) => {
        await engine.create(target, NAME);
        const figures = await engine.statistics.figures(target, new Date().toISOString());
        expect(figures).toMatchObject({ engine: engine.name, target });
        expect(figures).not.toHaveProperty("unusable");
        const index = figures.indexes.find((one) => one.name === NAME);
        if (!index) throw new Error("no figures of the index");
        expect(index).toMatchObject({ state: "ready" });
        expect(index.bytes).toBeGreaterThan(0);

        expect(await engine.maintenance.leftovers(target)).toEqual([]);
        const isByIndex = FACTS[engine.name].maintenance === "reindex";
        const task = { target, why: "test", ...(isByIndex ? { name: NAME, id: index.id } : {}) };
        const result = await engine.maintenance.perform(task);
        expect(result.state === "done" || (result.state === "left" && result.action === "refused"), result.why).toBe(
          true,
        );
        expect(await stateIn(engine)).toEqual({ state: "present" });
      });
    });
  });
}
