import { describe, expect, test } from "vitest";
import { liveness } from "../../../src/http/health.ts";

describe("liveness", () => {
  const TEN_MINUTES = 600_000;

  test.each([
    ["idle, nothing waits", { idleMs: 10 * TEN_MINUTES, waiting: 0 }, true],
    ["works, others wait", { idleMs: 0, waiting: 9 }, true],
    ["took a job lately", { idleMs: TEN_MINUTES, waiting: 9 }, true],
    ["takes none of those that wait", { idleMs: TEN_MINUTES + 1, waiting: 1 }, false],
    ["Redis does not answer", { idleMs: 10 * TEN_MINUTES, waiting: undefined }, true],
  ])("%s", (_name, consumption, alive) => {
    const fine = { queue: "fresh", idleMs: 0, waiting: 0 };
    expect(liveness([fine, { queue: "bulk", ...consumption }])).toEqual({ alive, stuck: alive ? [] : ["bulk"] });
  });
});
