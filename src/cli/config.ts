import type { Command } from "commander";
import { describeConfig } from "../config.ts";
import { action, createCommand } from "./command.ts";
import { table } from "./table.ts";

/** `config`: the effective settings, passwords masked. */
export function configCommand(): Command {
  return createCommand("config", "Show the effective settings, passwords masked.", "tallyman config --json").action(
    action((_options, { config, answer }) => {
      const settings = describeConfig(config);
      const rows = settings.map(({ name, value }) => [name, value || "(not set)"]);
      answer(Object.fromEntries(settings.map(({ name, value }) => [name, value])), table(["setting", "value"], rows));
      return Promise.resolve(undefined);
    }),
  );
}
