import type { Command } from "commander";
import { createGroup } from "../command.ts";
import { ensureCommand } from "./ensure.ts";

/** `indexes`: what is declared against what the databases have. A verb is one file and one line here. */
export function indexesCommand(): Command {
  const description = "Keep the declared indexes of both databases.";
  return createGroup("indexes", description, "tallyman indexes ensure", [ensureCommand()]);
}
