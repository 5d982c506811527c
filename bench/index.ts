import { Command, InvalidArgumentError } from "commander";
import { benchIndexes } from "./indexes.ts";
import { benchPlan } from "./plan.ts";
import { benchRebuild } from "./rebuild.ts";
import { benchRefresh } from "./refresh.ts";

const positive = (text: string) => {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
};

const program = new Command("bench").description(
  "Measurements; each prints ratios against a named baseline of the same run.",
);
program
  .command("rebuild")
  .description("rebuild a year of one tenant, against its parts")
  .option("--days <count>", "days", positive, 365)
  .option("--rounds <count>", "how often each is measured", positive, 1)
  .action(benchRebuild);
program
  .command("refresh")
  .description("refresh after a few new events, against rebuilding everything")
  .option("--tenants <count>", "tenants", positive, 50)
  .option("--days <count>", "days", positive, 365)
  .option("--events-per-day <count>", "events of a tenant on a day", positive, 200)
  .option("--new-events <count>", "events that arrive late", positive, 1_000)
  .option("--touched-days <count>", "tenant-days that they belong to", positive, 36)
  .action(benchRefresh);
program
  .command("plan")
  .description("plan many tenants of a day and one tenant of years, against one question a tenant")
  .option("--tenants <count>", "tenants", positive, 10_000)
  .option("--years <count>", "years", positive, 3)
  .action(benchPlan);
program
  .command("indexes")
  .description("the queries of the five index documents, with their indexes against without; writes docs/indexes.md")
  .option("--rows <count>", "documents or rows of each main collection or table", Number, 100_000)
  .option("--only <document>", "usage-events, usage-cache, earlybird, petbuddy or justoai")
  .option("--no-write", "only print the tables")
  .action(benchIndexes);
await program.parseAsync();
