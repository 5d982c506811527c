import { expect, test } from "vitest";
import { Resources } from "../../src/resources.ts";

/** Resources of which `top` stands on `base`, and what happened to them. */
function towers() {
  const events: string[] = [];
  const resources = new Resources();
  const make = (name: string, below?: () => Promise<string>) =>
    resources.lazily(
      async () => {
        await below?.();
        events.push(`open ${name}`);
        return name;
      },
      () => void events.push(`close ${name}`),
    );
  const base = make("base");
  return { events, resources, make, base, top: make("top", base) };
}

test("a resource is opened once, when it is first asked for", async () => {
  const { events, base } = towers();
  expect(events).toEqual([]);
  expect(await Promise.all([base(), base()])).toEqual(["base", "base"]);
  expect(await base()).toBe("base");
  expect(events).toEqual(["open base"]);
});

test("a resource is closed before what it stands on, though it was asked for first", async () => {
  const { events, resources, top } = towers();
  await top();
  await resources.close();
  expect(events).toEqual(["open base", "open top", "close top", "close base"]);
});

test("a resource that is being opened is closed when it is open", async () => {
  const { events, resources, base } = towers();
  const opening = base();
  await resources.close();
  await opening;
  expect(events).toEqual(["open base", "close base"]);
});

test("a resource that could not be opened is tried again, and is not closed", async () => {
  const resources = new Resources();
  const closed: string[] = [];
  let isAway = true;
  const server = resources.lazily(
    () => (isAway ? Promise.reject(new Error("away")) : Promise.resolve("there")),
    (name) => void closed.push(name),
  );
  await expect(server()).rejects.toThrow("away");
  await resources.close();
  expect(closed).toEqual([]);
  isAway = false;
  expect(await server()).toBe("there");
  await resources.close();
  expect(closed).toEqual(["there"]);
});

test("a resource whose close fails keeps no other open, and its error is told", async () => {
  const { events, resources, base } = towers();
  await base();
  const broken = resources.lazily(
    () => Promise.resolve("broken"),
    () => Promise.reject(new Error("stuck")),
  );
  await broken();
  await expect(resources.close()).rejects.toThrow("stuck");
  expect(events).toEqual(["open base", "close base"]);
});
