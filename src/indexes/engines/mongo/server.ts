/** What the version of the server decides for index work. */
import type { Db, Document } from "mongodb";
import { IDENTITY, identityOf } from "./normal-form.ts";

export interface MongoServer {
  /** it blocks writers while it builds, and cannot cancel a build (FerretDB) */
  readonly blocking: boolean;
  /** parts of the normal form: the server refuses a second index that is equal in all of them (error 85) */
  readonly identity: readonly string[];
  /** `collMod` makes a TTL index of one without expireAfterSeconds; no server takes it away again */
  readonly addsTtl: boolean;
  /** that the server tells fewer indexes apart than MongoDB 5.0, for a person; undefined where it does not */
  readonly limit: string | undefined;
}

export async function readServer(db: Db): Promise<MongoServer> {
  return serverOf(await db.command({ buildInfo: 1 }));
}

/**
 * Pure. `collMod` adds a TTL since 5.1 (manual, "Convert a non-TTL single-field Index into a TTL Index"). Up to 4.4 only keys and collation make two indexes different; since 5.0 the other parts of IDENTITY do too
 * (manual, "Indexes with the Same Key Pattern"), once the featureCompatibilityVersion is 5.0.
 */
export function serverOf(buildInfo: Document): MongoServer {
  const { version = "", versionArray = [] } = buildInfo as { version?: string; versionArray?: readonly unknown[] };
  const [major = 0, minor = 0] = (versionArray.length > 0 ? versionArray : version.split(".")).map(Number);
  const identity = identityOf([major]);
  return {
    blocking: "ferretdb" in buildInfo,
    addsTtl: major > 5 || (major === 5 && minor >= 1),
    identity,
    limit:
      identity !== IDENTITY
        ? `MongoDB ${version} cannot hold two indexes with the same keys and collation; MongoDB 5.0 and later can`
        : undefined,
  };
}
