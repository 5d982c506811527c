/** Which manifest is meant. */
import { expect, test } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { UsageError } from "../../src/errors.ts";
import { IndexKeeper } from "../../src/index-keeper.ts";

const keeper = new IndexKeeper(loadConfig({}), () => Promise.resolve("public"));

test("a name that no manifest has is refused with the names that there are", async () => {
  const unknown = keeper.manifest("nope");
  await expect(unknown).rejects.toThrow(UsageError);
  await expect(unknown).rejects.toThrow(/"nope": give usage, earlybird, petbuddy, justoai, or a \.yaml/);
  // It is no property that every object has, either.
  await expect(keeper.manifest("toString")).rejects.toThrow(UsageError);
  expect(await keeper.manifest("earlybird")).toMatchObject({ project: "earlybird" });
});

test("a name that looks like a path is read as a file", async () => {
  await expect(keeper.manifest("./nope")).rejects.toThrow(/neither a manifest of Tallyman's own nor a \.yaml/);
  await expect(keeper.manifest("nope.yaml")).rejects.toThrow(/nope\.yaml cannot be read/);
});
