/**
 * Replaces an index of MongoDB. No index can be renamed, so the new one keeps a name of its own and is found by its
 * definition. A difference in attributes alone is changed in place.
 */
import { BSON, type CollationOptions, type Db, type Document } from "mongodb";
import { differencesOf, sameForm, type NormalForm } from "../../decision/normal-form.ts";
import type { ActualIndex } from "../../decision/observation.ts";
import type { Replacement } from "../engine.ts";
import { isVersionName, listIndexes, versionName, type MongoObservation } from "./catalog.ts";
import { statedCollation } from "./collation.ts";
import { ATTRIBUTES, mongoForm } from "./normal-form.ts";
import type { MongoServer } from "./server.ts";
import { confirmed, MAJORITY } from "./write-concern.ts";

type Named = Pick<ActualIndex, "name" | "form">;

/** What a definition from `listIndexes` means by naming no collation. */
const SIMPLE: CollationOptions = { locale: "simple" };

/** The highest expireAfterSeconds, in seconds: a rollback that cannot take a TTL away stops its deletions at least. */
const NEVER = 2_147_483_647;

/** Functions of the engine. */
export interface ReplacementTools {
  readonly db: Db;
  readonly server: MongoServer;
  readonly isDeclared: (target: string, name: string) => boolean;
  /** the declared index as the server takes it, by the last look at its collection */
  readonly specOf: (target: string, name: string) => Record<string, unknown>;
  /** its normal form, with the collation of the collection */
  readonly formOf: (target: string, name: string) => NormalForm;
  readonly look: (target: string) => Promise<MongoObservation>;
  readonly create: (target: string, spec: Record<string, unknown>) => Promise<void>;
  readonly drop: (target: string, name: string) => Promise<void>;
  /** why nothing may be built on the target now */
  readonly blocked: (target: string) => Promise<string | undefined>;
}

export function mongoReplacement(tools: ReplacementTools): Replacement {
  const { db, server, isDeclared, specOf, formOf, look, create, drop, blocked } = tools;

  async function setAttributes(target: string, found: Named, spec: Document): Promise<void> {
    const ttl: unknown = spec["expireAfterSeconds"];
    const isPrepared = spec["prepareUnique"] === true;
    const index = {
      name: found.name,
      hidden: spec["hidden"] === true,
      ...(isPrepared || found.form["prepareUnique"] ? { prepareUnique: isPrepared } : {}), // unknown before 6.0
      ...(ttl === undefined ? {} : { expireAfterSeconds: ttl }),
    };
    await confirmed(`${found.name} is changed`, () => db.command({ collMod: target, index, writeConcern: MAJORITY }));
  }

  return {
    obstacle(target, name, found) {
      const wanted = formOf(target, name);
      const isOwnName = found.name === name || isVersionName(found.name, name);
      if (!isOwnName && isDeclared(target, found.name))
        return `${found.name} is declared too: leave one of them out of the manifest.`;
      if (!isOwnName)
        return `${found.name} is not declared, so the keeper does not touch it: change or drop it by hand.`;
      if (isAttributeChange(wanted, found.form, server)) return undefined;
      const isOther = server.identity.some((part) => wanted[part] !== found.form[part]);
      if (isOther && (wanted["weights"] === "" || found.form["weights"] === "")) return undefined;
      return `${server.limit ?? "The server cannot hold both indexes at once"}. When nothing reads through ${found.name}, drop it by hand and run ensure again.`;
    },

    async perform(target, name, found) {
      await look(target);
      const spec = specOf(target, name);
      const wanted = formOf(target, name);
      if (isAttributeChange(wanted, found.form, server)) {
        await setAttributes(target, found, spec);
        return;
      }
      await create(target, { ...spec, name: versionName(name, wanted) });
      await drop(target, found.name);
    },

    async finish(target, name) {
      const { actual, rules } = await look(target);
      const wanted = formOf(target, name);
      const others = actual.filter((index) => rules.isVersion?.(index.name, name) && !sameForm(index.form, wanted));
      for (const other of others) await drop(target, other.name);
      return others.length > 0;
    },

    async abandon(target, name) {
      const { actual, rules } = await look(target);
      const version = versionName(name, formOf(target, name));
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
      if (!present) {
        const { collation } = await look(target);
        const { collation: own = SIMPLE, ...rest } = spec as { collation?: CollationOptions };
        await create(target, { ...rest, ...statedCollation(own, collation) });
      } else if (!sameForm(wanted, mongoForm(present))) {
        const found = { name: String(present["name"]), form: mongoForm(present) };
        if (!isAttributeChange(wanted, found.form, server)) {
          await setAttributes(target, found, { ...spec, expireAfterSeconds: NEVER });
          return (
            `no server takes a TTL away from an index: ${found.name} now expires documents after ${NEVER} s, which is 68 years. ` +
            "When nothing reads through it, drop it by hand and run ensure with the earlier definition"
          );
        }
        await setAttributes(target, found, spec);
      }
      if (made.name !== spec["name"]) await drop(target, made.name);
      return undefined;
    },
  };
}

/** Can `collMod` change `found` into `wanted`? No server removes a TTL so, and older ones do not add one. */
export function isAttributeChange(
  wanted: NormalForm,
  found: NormalForm,
  { addsTtl }: Pick<MongoServer, "addsTtl">,
): boolean {
  const isTtl = (form: NormalForm) => form["expireAfterSeconds"] !== "";
  if (!differencesOf(wanted, found).every(({ part }) => ATTRIBUTES.has(part))) return false;
  return isTtl(wanted) === isTtl(found) || (isTtl(wanted) && addsTtl);
}
