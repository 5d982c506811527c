import type { Command } from "commander";
import { createGroup } from "../command.ts";
import { checkCommand } from "./check.ts";
import { discoverCommand } from "./discover.ts";
import { ensureCommand } from "./ensure.ts";
import { maintainCommand } from "./maintain.ts";
import { planCommand } from "./plan.ts";
import { rollbackCommand } from "./rollback.ts";
import { showCommand } from "./show.ts";
import { statsCommand } from "./stats.ts";
import { verifyCommand } from "./verify.ts";

/** `indexes`: the index keeper. Each verb is one file, and one line here. */
export function indexesCommand(): Command {
  const description = "Keep the declared indexes of both databases.";
  return createGroup("indexes", description, "tallyman indexes ensure", [
    ensureCommand(),
    checkCommand(),
    planCommand(),
    rollbackCommand(),
    showCommand(),
    discoverCommand(),
    statsCommand(),
    maintainCommand(),
    verifyCommand(),
  ]);
}
