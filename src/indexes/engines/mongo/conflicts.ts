/** Indexes of one collection that cannot exist beside each other. Pure. */
import { differencesOf } from "../../decision/normal-form.ts";
import { placedIndexes, type Fault } from "../../manifest/fault.ts";
import type { Manifest, MongoIndex } from "../../manifest/manifest.ts";
import { IDENTITY, identityOf, mongoForm, mongoSpec } from "./normal-form.ts";

/** Before this version, keys and collation alone make two indexes the same (SERVER-25023, SERVER-47657). */
const APART_SINCE = "5.0";

/** Pairs of declared indexes of which every server refuses the second. */
export function mongoConflicts(manifest: Manifest): Fault[] {
  return [...placedIndexes(manifest, "mongo")].flatMap(([collection, placed]) => {
    const texts = placed.filter(({ index }) => index.keys.some(([, kind]) => kind === "text"));
    const names = texts.map(({ index }) => index.name).join(" and ");
    const message = `${names} are text indexes, a collection can have one: merge them`;
    const path = ["mongo", collection, "keys"];
    const place = `mongo.${collection}`;
    const ofText = texts.length > 1 ? [{ path: texts[1]?.path ?? path, place, message }] : [];
    const others = placed.flatMap((one, n) => {
      const earlier = placed.slice(0, n).find(({ index }) => areSame(index, one.index, IDENTITY));
      if (!earlier || (texts.includes(one) && texts.includes(earlier))) return [];
      const said = conflict(earlier.index, one.index);
      return [{ path: [...one.path, "keys"], place: one.place, message: said }];
    });
    return [...ofText, ...others];
  });
}

/** Pairs of declared indexes that only newer servers keep beside each other, a line each. */
export function mongoConflictWarnings(manifest: Manifest): string[] {
  const old = identityOf([4, 4]);
  return [...placedIndexes(manifest, "mongo").values()].flatMap((placed) =>
    placed.flatMap(({ index, place }, n) => {
      const earlier = placed
        .slice(0, n)
        .find((one) => areSame(one.index, index, old) && !areSame(one.index, index, IDENTITY));
      if (!earlier) return [];
      return [
        `${place}: it has the keys of ${earlier.index.name}; MongoDB keeps both from ${APART_SINCE} on, an older one refuses the second`,
      ];
    }),
  );
}

/** The windows of two rolling indexes have filters of their own, which differ by name only if the windows are the same. */
function formOf(index: MongoIndex) {
  const { rolling } = index;
  if (!rolling) return mongoForm(mongoSpec(index));
  return mongoForm(mongoSpec({ ...index, partial: { ...index.partial, [rolling.column]: { $gte: rolling } } }));
}

function areSame(a: MongoIndex, b: MongoIndex, identity: readonly string[]): boolean {
  const [one, other] = [formOf(a), formOf(b)];
  return identity.every((part) => one[part] === other[part]);
}

function conflict(earlier: MongoIndex, later: MongoIndex): string {
  const parts = differencesOf(formOf(later), formOf(earlier)).map(({ part }) => part);
  if (parts.length === 0) return `it declares the same index as ${earlier.name}; remove one of them`;
  return (
    `it has the keys of ${earlier.name} and differs from it only in ${parts.join(", ")}; no server keeps both: ` +
    "declare one of them, or give one other keys, another collation or another partial filter"
  );
}
