import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { discoverIndexes, type EngineName, type Manifest } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import { tell } from "../terminal.ts";
import { parseEngine } from "./options.ts";

interface DiscoverFlags {
  readonly engine?: EngineName;
  readonly target?: string;
  readonly schema?: string;
  readonly project?: string;
}

/** `indexes discover`: prints a manifest of the indexes that the databases have. */
export function discoverCommand(): Command {
  const command = createCommand(
    "discover",
    "Print a manifest of the indexes that the databases have, with the size and the use of each; changes nothing.",
    "tallyman indexes discover --engine postgres --schema public > shop.yaml",
  );
  return command
    .option("--engine <name>", "only mongodb, or only postgres", parseEngine)
    .option("--target <name>", "only this collection, or this schema.table")
    .option("--schema <name>", "only the tables of this schema of PostgreSQL")
    .option("--project <name>", "the name of the manifest; by default that of the database")
    .action(
      action<DiscoverFlags>(async (flags, { services, signal, answer }) => {
        const { json, yaml, targets } = await services.keeper.with(wanted(flags), ({ mongo, databaseUrl }) =>
          discoverIndexes({ ...flags, mongo, databaseUrl, signal }),
        );
        const leftOut = targets.flatMap(({ engine, target, leftOut: own }) =>
          own.map((index) => ({ engine, target, ...index })),
        );
        if (leftOut.length > 0) {
          const count = leftOut.length === 1 ? "1 index is" : `${leftOut.length} indexes are`;
          tell(`${count} not declared; the comments say why.`);
        }
        answer({ manifest: json, leftOut }, yaml.trimEnd().split("\n"));
        return EXIT.done;
      }),
    );
}

/** Says which databases are to be opened. */
function wanted({ engine, schema }: DiscoverFlags): Manifest {
  const isMongo = engine !== "postgres" && schema === undefined;
  return {
    ...{ version: 1, project: "discover" },
    ...(isMongo ? { mongo: {} } : {}),
    ...(engine === "mongodb" ? {} : { postgres: {} }),
  };
}
