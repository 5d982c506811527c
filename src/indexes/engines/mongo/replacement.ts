/**
 * Replaces an index of MongoDB. No index can be renamed, so the new one keeps a name of its own and is found by its
 * definition. A difference in attributes alone is changed in place.
 */
import { BSON, type Db, type Document } from "mongodb";
import { differencesOf, sameForm, type NormalForm } from "../../decision/normal-form.ts";
import type { ActualIndex, Observation } from "../../decision/observation.ts";
import type { MongoIndex } from "../../manifest/manifest.ts";
import type { Replacement } from "../engine.ts";
import { isVersionName, listIndexes, versionName } from "./catalog.ts";
import { ATTRIBUTES, IDENTITY, mongoForm, mongoSpec } from "./normal-form.ts";

/** Functions of the engine. */
export interface ReplacementTools {
  readonly db: Db;
  readonly find: (target: string, name: string) => MongoIndex;
  readonly look: (target: string) => Promise<Observation>;
  readonly create: (target: string, spec: Record<string, unknown>) => Promise<void>;
  readonly drop: (target: string, name: string) => Promise<void>;
  /** why nothing may be built on the target now */
  readonly blocked: (target: string) => Promise<string | undefined>;
}

export function mongoReplacement({ db, find, look, create, drop, blocked }: ReplacementTools): Replacement {
  /** The declared normal form, with the collation of the collection. */
  async function declaredForm(target: string, name: string): Promise<NormalForm> {
    const declared = (await look(target)).declared.get(name);
    if (!declared || declared instanceof Error) throw declared ?? new Error(`${name} is not declared on ${target}`);
    return declared.form;
  }

  async function setAttributes(target: string, name: string, spec: Document): Promise<void> {
    const ttl: unknown = spec["expireAfterSeconds"];
    const index = {
      name,
      hidden: spec["hidden"] === true,
      ...(ttl === undefined ? {} : { expireAfterSeconds: ttl }),
    };
    await db.command({ collMod: target, index });
  }

  return {
    obstacle(target, name, found) {
      const wanted = mongoForm(mongoSpec(find(target, name)));
      const isOwnName = found.name === name || isVersionName(found.name, name);
      if (!isOwnName)
        return `${found.name} is not declared, so the keeper does not touch it: change or drop it by hand.`;
      if (isAttributeChange(wanted, found.form)) return undefined;
      const isOther = IDENTITY.some((part) => wanted[part] !== found.form[part]);
      if (isOther && (wanted["weights"] === "" || found.form["weights"] === "")) return undefined;
      return `The server cannot hold both indexes at once. When nothing reads through ${found.name}, drop it by hand and run ensure again.`;
    },

    async perform(target, name, found) {
      const spec = mongoSpec(find(target, name));
      const wanted = await declaredForm(target, name);
      if (isAttributeChange(wanted, found.form)) {
        await setAttributes(target, found.name, spec);
        return;
      }
      await create(target, { ...spec, name: versionName(name, wanted) });
      await drop(target, found.name);
    },

    async finish(target, name) {
      const { actual, rules } = await look(target);
      const wanted = await declaredForm(target, name);
      const others = actual.filter((index) => rules.isVersion?.(index.name, name) && !sameForm(index.form, wanted));
      for (const other of others) await drop(target, other.name);
      return others.length > 0;
    },

    async abandon(target, name) {
      const version = versionName(name, await declaredForm(target, name));
      const { actual, rules } = await look(target);
      const isOld = (index: ActualIndex) => index.name === name || rules.isVersion?.(index.name, name) === true;
      // If the new index is the only one left, queries use it, so it stays.
      if (!actual.some((index) => isOld(index) && index.name !== version)) return false;
      if (!actual.some((index) => index.name === version)) return false;
      await drop(target, version);
      return true;
    },

    async restore({ target, previous = "{}" }, made) {
      const spec = BSON.EJSON.parse(previous) as Document;
      const wanted = mongoForm(spec);
      const present = (await listIndexes(db, target)).find((one) => one["name"] === spec["name"]);
      const refusal = present ? undefined : await blocked(target);
      if (refusal !== undefined) return refusal;
      if (!present) await create(target, spec);
      else if (!sameForm(wanted, mongoForm(present))) await setAttributes(target, String(present["name"]), spec);
      if (made.name !== spec["name"]) await drop(target, made.name);
      return undefined;
    },
  };
}

/** Can `collMod` change each definition into the other? It can add a TTL but not remove it. */
export function isAttributeChange(wanted: NormalForm, found: NormalForm): boolean {
  const isTtl = (form: NormalForm) => form["expireAfterSeconds"] !== "";
  return differencesOf(wanted, found).every(({ part }) => ATTRIBUTES.has(part)) && isTtl(wanted) === isTtl(found);
}
