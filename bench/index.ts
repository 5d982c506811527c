import { Command, InvalidArgumentError } from "commander";
import { benchIndexes } from "./indexes.ts";
import { benchMemory } from "./memory.ts";
import { benchPartitions } from "./partitions.ts";
import { benchPlan } from "./plan.ts";
import { benchRebuild } from "./rebuild.ts";
import { benchRefresh } from "./refresh.ts";

const positive = (text: string) => {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
};

/** Collects the numbers of a repeated option; the first replaces the default. */
const given: number[][] = [];
const list = (text: string, before: number[]) => {
  const numbers = [...(given.includes(before) ? before : []), positive(text)];
  given.push(numbers);
  return numbers;
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
program
  .command("partitions")
  .description(
    "inserts into a partitioned table while its index is built, replaced and brought back, against none of it",
  )
  .option("--rows <count>", "rows of the table", Number, 300_000)
  .option("--writers <count>", "writers at once", positive, 3)
  .action(benchPartitions);
program
  .command("memory")
  .description("which limit on the heap a worker survives over days of many users, and the memory it takes")
  .option("--users <count>", "users of a day", Number, 200_000)
  .option("--models <count>", "models, each used once by each user", positive, 3)
  .option("--days <count>", "days", positive, 4)
  .option("--heap <MB...>", "limits of the heap", list, [256, 384, 512, 768])
  .option("--concurrency <jobs...>", "values of WORKER_CONCURRENCY", list, [1, 2])
  .action(benchMemory);
await program.parseAsync();
