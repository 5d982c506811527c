import { expect, test, vi } from "vitest";
import { limits, withinTime } from "../../../src/db/mongo/read.ts";

test("a read ends with its signal, and half a minute after its limit where the server says nothing", () => {
  const timeout = vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    return ms === 150_000 ? AbortSignal.abort("silent") : new AbortController().signal;
  });
  try {
    const caller = new AbortController();
    expect(withinTime({ maxTimeMs: 120_000, signal: caller.signal }).reason).toBe("silent");
    const patient = withinTime({ maxTimeMs: 120_001, signal: caller.signal });
    expect(patient.aborted).toBe(false);
    caller.abort("shutdown");
    expect(patient.reason).toBe("shutdown");
    const read = limits({ maxTimeMs: 120_001, signal: caller.signal });
    expect([read.maxTimeMS, read.signal.reason]).toEqual([120_001, "shutdown"]);
  } finally {
    timeout.mockRestore();
  }
});
