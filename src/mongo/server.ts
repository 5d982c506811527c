import type { Db } from "mongodb";

/** FerretDB 2 gives its own version in `buildInfo`, beside the version of MongoDB that it stands for. */
export async function isFerret(db: Db): Promise<boolean> {
  return "ferretdb" in (await db.command({ buildInfo: 1 }));
}
