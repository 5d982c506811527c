/** What the commands of the keeper say and how they leave, as processes of their own. */
import { expect, test } from "vitest";
import { run } from "../../support/process.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("keeper_commands");

const indexes = (...args: string[]) => run(world.env, "indexes", ...args);
const PART = ["--manifest", "petbuddy", "--engine", "mongodb"];

test("a selection without an index is a usage error, not a success", async () => {
  for (const verb of ["check", "ensure", "plan"]) {
    const ended = await indexes(verb, "--manifest", "petbuddy", "--phase", "2");
    expect([ended.code, ended.stdout]).toEqual([1, ""]);
    expect(ended.stderr).toMatch(/^tallyman: The manifest petbuddy declares no index in phase 2\. Leave out/);
  }
});

test("a manifest for PostgreSQL alone works without MongoDB, whose URI need not be set", async () => {
  const { MONGODB_URI: _unset, ...env } = world.env;
  const ended = await run(env, "indexes", "check", "--engine", "postgres");
  expect(ended.code).toBe(2);
  expect(ended.stdout).toMatch(/^postgres public\.daily_usage_cache: 1 indexes \(5 missing\)\n/);
});

test("printed commands can be typed: rollback names the manifest, a refusal shows what would be dropped", async () => {
  const ensured = await indexes("ensure", ...PART);
  expect(ensured.code).toBe(0);
  expect(ensured.stderr).toMatch(/^petbuddy: mongodb [\w.]+:\d+\/\w+\n/);
  const [, back = ""] =
    /To take this run back: tallyman (indexes rollback --manifest petbuddy --run \S+)/.exec(ensured.stdout) ?? [];

  const advised = await indexes("check", ...PART, "--strict");
  expect(advised.code).toBe(2);
  expect(advised.stdout).toMatch(/ 1 pieces? of advice, which --strict counts \(exit 2\)\.\n$/);

  const unasked = await run(world.env, ...back.split(" "));
  expect(unasked.code).toBe(1);
  expect(unasked.stderr).toMatch(/contacts +companyId_1_phone_1 +drop /);
  expect(unasked.stderr).toMatch(/There is no terminal to ask at\. .* add --yes\.\n$/);
  const shown = await run(world.env, ...back.split(" "), "--dry-run");
  expect([shown.code, shown.stdout.trimEnd().split("\n").at(-1)]).toEqual([0, "Nothing was changed."]);

  const done = await run(world.env, ...back.split(" "), "--yes");
  expect([done.code, done.stdout.trimEnd().split("\n").at(-1)]).toEqual([0, "25 taken back, 0 kept."]);
  const again = await indexes("rollback", ...PART, "--yes");
  expect([again.code, again.stdout]).toEqual([0, "The newest run has nothing left to take back.\n"]);
  const unknown = await indexes("rollback", ...PART, "--index", "nope", "--yes");
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toMatch(/the keeper made no index nope that still exists/);
});

test("the same rollback again does not undo older runs, and prints the command for that", async () => {
  await indexes("ensure", "--manifest", "earlybird", "--phase", "2");
  await indexes("ensure", "--manifest", "earlybird", "--phase", "3");
  expect((await indexes("rollback", "--manifest", "earlybird", "--yes")).stdout).toMatch(
    /\n[12] taken back, 0 kept\.\n$/,
  );
  const again = await indexes("rollback", "--manifest", "earlybird", "--yes");
  expect([again.code, again.stdout]).toEqual([
    0,
    expect.stringMatching(
      /^The newest run has nothing left to take back\. To take back an older run: tallyman indexes rollback --manifest earlybird --run \S+\n$/,
    ),
  ]);
});
