/** Figures for a person. */

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** 1536 -> "1.5 kB", in steps of 1,024 as the databases print them. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < UNITS.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** 0.9312 -> "93.1 %", 0.00012 -> "0.012 %" */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) return "more than 100 %";
  const percent = share * 100;
  if (percent === 0 || percent >= 99.95) return `${Math.round(percent)} %`;
  return `${percent >= 10 ? percent.toFixed(1) : Number(percent.toPrecision(2))} %`;
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en");
}

/** ISO 8601 -> "2026-11-21 18:30 UTC" */
export function formatDay(time: string): string {
  return `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

/** Milliseconds: one decimal below 10, none above. */
export function formatMs(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en");
}
