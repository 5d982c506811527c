import { NOT_EXAMINED, type MalformedPlace } from "../usage/malformed.ts";
import type { Lines } from "./lines.ts";
import { table } from "./table.ts";

/** Places that are shown; --json lists more. */
const SHOWN = 20;

/** Where events are malformed, as a table; no line if nowhere. */
export function malformedTable(places: readonly MalformedPlace[]): Lines {
  if (places.length === 0) return [];
  const rows = places
    .slice(0, SHOWN)
    .map(({ tenant, field, reason, found, events, days, lastDay, sampleId }) => [
      tenant,
      reason === NOT_EXAMINED.reason ? "not examined" : field,
      reason === NOT_EXAMINED.reason ? "-" : `${WORDS[reason]}${found === "" ? "" : ` (${found})`}`,
      events,
      days,
      lastDay,
      sampleId,
    ]);
  const more = places.length > SHOWN ? [`... and ${places.length - SHOWN} more; --json lists them`] : [];
  const head = ["tenant", "malformed", "because it is", "events", "days", "last day", "for example _id"];
  return [...table(head, rows), ...more];
}

const WORDS: Readonly<Record<Exclude<MalformedPlace["reason"], "notExamined">, string>> = {
  wrongType: "of a wrong type",
  notANumber: "NaN",
  negative: "negative",
  tooLarge: "above 10^12",
  fraction: "a fraction",
};
