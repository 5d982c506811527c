/** The manifest of `discover` for a person: what the databases know about each index stands above it as a comment. Pure. */
import { isMap, isScalar, isSeq, parseDocument, type Node } from "yaml";
import type { IndexFigures, TargetFigures } from "../engines/figures.ts";
import { formatBytes, formatCount, formatDay } from "../format.ts";
import { manifestText } from "../manifest/load.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { DiscoveredTarget, LeftOut } from "./report.ts";

const KEYS = { mongodb: "mongo", postgres: "postgres" } as const;

/** Guards that the declaration or a note shows. */
const SHOWN: ReadonlySet<string> = new Set(["unique", "primary key", "ttl", "hidden", "clustered"]);

export function discoveredText(manifest: Manifest, targets: readonly DiscoveredTarget[]): string {
  const document = parseDocument(manifestText(manifest));
  const withoutPlace: string[] = [];
  for (const target of targets) {
    const about = [...targetLines(target.figures), ...target.notes, ...target.leftOut.flatMap(leftOutLines)];
    const indexes: unknown = document.getIn([KEYS[target.engine], target.target], true);
    if (!isSeq(indexes)) {
      withoutPlace.push(`${KEYS[target.engine]} ${target.target}`, ...about.map((line) => `  ${line}`));
      continue;
    }
    const section: unknown = document.get(KEYS[target.engine], true);
    const pair = isMap(section)
      ? section.items.find(({ key }) => isScalar(key) && key.value === target.target)
      : undefined;
    if (isScalar(pair?.key)) comment(pair.key, about);
    for (const index of indexes.items) {
      if (!isMap(index)) continue;
      const name = String(index.get("name"));
      const figures = target.figures.indexes.find((one) => one.name === name);
      const notes = target.declared.get(name) ?? [];
      comment(index, [...(figures ? indexLines(figures, target.figures) : []), ...notes]);
    }
  }
  if (withoutPlace.length > 0) document.comment = commentText(["Without a declaration:", ...withoutPlace]);
  return document.toString({ lineWidth: 120 });
}

/** Every line of a text in it is a comment of its own, whatever the text holds. */
function comment(node: Node, lines: readonly string[]): void {
  if (lines.length > 0) node.commentBefore = commentText(lines);
}

function commentText(lines: readonly string[]): string {
  return lines
    .flatMap((line) => line.split(/[\r\n\u0085\u2028\u2029]/))
    .map((line) => ` ${line}`)
    .join("\n");
}

function targetLines({ rows, dataBytes, indexBytes, unusable, unknown }: TargetFigures): string[] {
  if (unusable !== undefined) return [`no figures: ${unusable}`];
  const sizes = `${formatCount(rows)} rows, ${formatBytes(dataBytes)}; its indexes ${formatBytes(indexBytes)}`;
  return [sizes, ...unknown.filter((what) => !what.startsWith("slow queries")).map((what) => `not known: ${what}`)];
}

function indexLines(figures: IndexFigures, target: TargetFigures): string[] {
  const { bytes, scans, lastScan, guards, state } = figures;
  const since = figures.since ?? target.since;
  const use =
    scans === null
      ? "its scans are not known"
      : `${formatCount(scans)} scans ${since === null ? "since it was made" : `since ${formatDay(since)}`}`;
  const duties = guards.filter((guard) => !SHOWN.has(guard));
  return [
    `${formatBytes(bytes)}, ${use}${lastScan === null ? "" : `, the last ${formatDay(lastScan)}`}`,
    ...(duties.length > 0 ? [`needed by: ${duties.join(", ")}`] : []),
    ...(state === "ready" ? [] : [`it is ${state}`]),
  ];
}

function leftOutLines({ name, why, definition }: LeftOut): string[] {
  return [`not declared: ${name}: ${why}`, `  ${definition}`];
}
