import { table } from "../../src/cli/table.ts";
import type { Outcome } from "./play.ts";

/** The outcomes in the order of their scenarios, as text. */
export function outcomeTable(outcomes: readonly Outcome[]): string {
  const sorted = [...outcomes].sort((a, b) => a.order - b.order || a.round - b.round);
  return table(
    ["fault", "round", "moment", "what it hit", "recovery s", "wrong", "lost", "verdict"],
    sorted.map(({ scenario, round, moment, hit, seconds, wrong, lost, verdict }) => {
      return [scenario, round, moment, hit, seconds, wrong, lost, verdict];
    }),
  ).join("\n");
}
