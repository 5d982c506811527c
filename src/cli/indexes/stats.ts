import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import {
  FACTS,
  formatBytes,
  formatDay,
  formatShare,
  type IndexReport,
  MIN_PAGES,
  readStats,
  type StatsReport,
  type TargetReport,
} from "../../indexes/index.ts";
import { action, createCommand, parseCount } from "../command.ts";
import { blocks, type Lines } from "../lines.ts";
import { table } from "../table.ts";
import { withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";

interface StatsFlags extends IndexFlags {
  readonly strict?: true;
  readonly watch?: number | true;
}

const WATCH_SECONDS = 10;

/** `indexes stats`: the cost and the use of the indexes. */
export function statsCommand(): Command {
  const command = createCommand(
    "stats",
    "Show sizes, use, cache hits and full scans, with a verdict on each; keeps samples in the schema tallyman.",
    "tallyman indexes stats --strict",
  );
  return withIndexFlags(command)
    .option("--strict", "exit with 2 if a verdict is an alert")
    .option(
      "--watch [seconds]",
      `repeat every so many seconds (default: ${WATCH_SECONDS}); with --json, one document a line`,
      parseCount,
    )
    .action(
      action<StatsFlags>(async (flags, context) => {
        const { signal, answer } = context;
        const seconds = flags.watch === true ? WATCH_SECONDS : flags.watch;
        const report = await withIndexes(context, flags, async (targets) => {
          for (;;) {
            const newest = await readStats({ ...targets, signal });
            answer(newest, statsText(newest));
            if (seconds !== undefined) await sleep(seconds * 1_000, undefined, { signal }).catch(() => undefined);
            if (seconds === undefined || signal.aborted) return newest;
          }
        });
        return flags.strict && !report.ok ? EXIT.found : EXIT.done;
      }),
    );
}

/** The report for a person. */
export function statsText(report: StatsReport): Lines {
  const parts = report.targets.map((target) => [heading(target), ...indexTable(target), ...notesOf(target)]);
  const verdicts = report.verdicts.map(
    ({ level, engine, target, index, sentence }) =>
      `${level.toUpperCase()} ${engine} ${target}${index === undefined ? "" : ` ${index}`}: ${sentence}`,
  );
  const alerts = report.verdicts.filter(({ level }) => level === "alert").length;
  const summary = `${alerts} alert(s), ${report.verdicts.length - alerts} warning(s).`;
  const kept = report.notKept === undefined ? [] : [`This sample could not be stored: ${report.notKept}`];
  return blocks(...parts, [...verdicts, ...kept, summary]);
}

function heading(target: TargetReport): string {
  const { engine, rows, dataBytes, indexBytes, sizePct, fullScans, unusable, lastAnalyze } = target;
  if (unusable !== undefined) return `${engine} ${target.target}: ${unusable}`;
  const scans =
    fullScans === null
      ? ""
      : `; ${formatShare(fullScans.value)} of ${fullScans.of} scans since ${formatDay(fullScans.from)} were full`;
  const analyzed = !FACTS[engine].isAnalyzed
    ? ""
    : `; analyzed ${lastAnalyze === null ? "never" : formatDay(lastAnalyze)}`;
  const of = sizePct === null ? "" : ` (${sizePct} % of the data)`;
  return `${engine} ${target.target}: ${rows.toLocaleString("en")} rows, data ${formatBytes(dataBytes)}, indexes ${formatBytes(indexBytes)}${of}${scans}${analyzed}`;
}

function indexTable(target: TargetReport): Lines {
  const { indexes, verdicts, unusable, declared } = target;
  if (unusable !== undefined) return [];
  const rows = indexes.map((index) => [
    index.name,
    stateOf(index),
    formatBytes(index.bytes),
    index.sizePct === null ? null : `${index.sizePct} %`,
    index.scans,
    index.newScans === null ? null : `+${index.newScans}`,
    sinceOf(index, target),
    hitOf(index),
    index.bloat === null ? null : `${index.bloat.toFixed(1)}x`,
    verdicts
      .filter((verdict) => verdict.index === index.name)
      .map(({ kind }) => kind)
      .join(", ") || "-",
  ]);
  const missing = declared
    .filter(({ state }) => state === "missing")
    .map(({ name }) => [name, "missing", null, null, null, null, null, null, null, "missing"]);
  return table(
    ["index", "state", "size", "of data", "scans", "new", "since", "hit", "bloat", "verdicts"],
    [...rows, ...missing],
  );
}

function stateOf({ state, declaredAs, guards }: IndexReport): string {
  const what = declaredAs === null ? "not declared" : "declared";
  return [...(state === "ready" ? [] : [state]), what, ...guards].join(", ");
}

/** PostgreSQL's counters, if never reset, count from the creation of the index. */
function sinceOf({ since }: IndexReport, { since: ofTarget, engine }: TargetReport): string | null {
  const began = since ?? ofTarget;
  if (began !== null) return formatDay(began);
  return FACTS[engine].countsFromCreation ? "its creation" : null;
}

/** With the number of pages if they are few: one page that was read makes no meaningful hit rate of 0 %. */
function hitOf({ hit }: IndexReport): string | null {
  if (hit === null) return null;
  return hit.of < MIN_PAGES ? `${formatShare(hit.value)} of ${hit.of}` : formatShare(hit.value);
}

function notesOf({ notes, samples, firstSample, unusable }: TargetReport): string[] {
  if (unusable !== undefined) return [];
  return [`samples: ${samples} since ${formatDay(firstSample)}`, ...notes].map((note) => `  ${note}`);
}
