import { expect, test } from "vitest";
import { formatBytes, formatCount, formatDay, formatShare } from "../../../../src/indexes/format.ts";

test.each([
  [0, "0 B"],
  [1_023, "1023 B"],
  [1_024, "1.0 kB"],
  [1_536, "1.5 kB"],
  [104_857_600, "100 MB"],
  [1.25 * 1024 ** 4, "1.3 TB"],
  [5_000 * 1024 ** 4, "5000 TB"],
])("%i bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0, "0 %"],
  [0.00012, "0.012 %"],
  [0.0099, "0.99 %"],
  [0.01, "1 %"],
  [0.0949, "9.5 %"],
  [0.9312, "93.1 %"],
  [0.9999, "100 %"],
  [1, "100 %"],
  [2.5, "250 %"],
  [Infinity, "more than 100 %"],
])("a share of %f is %s", (share, text) => {
  expect(formatShare(share)).toBe(text);
});

test("counts have thousands separators, and times are in UTC", () => {
  expect(formatCount(1_234_567.4)).toBe("1,234,567");
  expect(formatDay("2026-11-21T18:30:59.123Z")).toBe("2026-11-21 18:30 UTC");
});
