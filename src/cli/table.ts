import Table from "cli-table3";
import { printable } from "../printable.ts";
import type { Lines } from "./lines.ts";

/** An aligned table without colour, a row a line; numbers to the right. Cells are as wide as the terminal shows them. */
export function table(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): Lines {
  const numeric = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"));
  const drawn = new Table({
    head: head.map(printable),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    colAligns: numeric.map((isNumber) => (isNumber ? "right" : "left")),
    chars: Object.fromEntries(
      [
        "top",
        "top-mid",
        "top-left",
        "top-right",
        "bottom",
        "bottom-mid",
        "bottom-left",
        "bottom-right",
        "left",
        "left-mid",
        "mid",
        "mid-mid",
        "right",
        "right-mid",
        "middle",
      ].map((side) => [side, ""]),
    ),
  });
  for (const row of rows)
    drawn.push(row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en") : printable(cell ?? "-"))));
  return drawn
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

/** A fact under a heading of eleven characters, its further lines below it. */
export function fact(heading: string, lines: Lines): Lines {
  return lines.map((line, index) => (index === 0 ? heading : "").padEnd(11) + line);
}

/** A figure, or how it changes. */
export function arrow(before: string | undefined, after: string | undefined): string {
  return before === after ? (after ?? "-") : `${before ?? "-"} -> ${after ?? "-"}`;
}

/** A stamp without its fraction of a second. */
export function shortTime(stamp: string | null): string | null {
  return stamp === null ? null : `${stamp.slice(0, 10)} ${stamp.slice(11, 19)}`;
}
