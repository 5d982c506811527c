/**
 * Partial indexes over a moving window. No database allows a predicate that follows the clock, so each period has an
 * index of its own with a literal bound: `name__2026_01`. The window of a period begins `keep` before the period's
 * start, so it covers at least `keep` until the period's end. An older window is dropped once the next is proven.
 */
import { Temporal } from "temporal-polyfill";
import type { Manifest, MongoIndex, PostgresIndex, Rolling } from "./manifest.ts";
import { parenthesised } from "./sql-text.ts";

const KEEP = /^(\d{1,4}) (day|week|month|year)s?$/;

/** The index of one period. */
export interface Window {
  /** the name in the manifest */
  readonly base: string;
  /** the name in the database */
  readonly name: string;
  /** first day of the period, in UTC */
  readonly period: string;
  /** ISO 8601: the index holds nothing older */
  readonly bound: string;
}

/** Why the windows cannot be computed; undefined if they can. */
export function rollingFault({ keep }: Rolling): string | undefined {
  const match = KEEP.exec(keep);
  return match && Number(match[1]) > 0 ? undefined : `keep must be like "1 month" or "90 days"`;
}

/** The current window at `now`. */
export function windowAt(base: string, { keep, rotate }: Rolling, now: Date): Window {
  const match = KEEP.exec(keep);
  if (!match) throw new RangeError(`no length of time: ${keep}`);
  const today = Temporal.PlainDate.from(now.toISOString().slice(0, 10));
  const start =
    rotate === "monthly"
      ? today.with({ day: 1 })
      : rotate === "weekly"
        ? today.subtract({ days: today.dayOfWeek - 1 })
        : today;
  const bound = start.subtract({ [`${match[2]}s`]: Number(match[1]) });
  return {
    base,
    name: windowName(base, rotate, start.toString()),
    period: start.toString(),
    bound: `${bound.toString()}T00:00:00.000Z`,
  };
}

function windowName(base: string, rotate: Rolling["rotate"], period: string): string {
  return `${base}__${period.slice(0, rotate === "monthly" ? 7 : 10).replaceAll("-", "_")}`;
}

/** Can `windowName` have made this from the declared name? */
export function isWindowName(name: string, base: string): boolean {
  return name.startsWith(`${base}__`) && /^\d{4}_\d\d(_\d\d)?$/.test(name.slice(base.length + 2));
}

/** Is this the name of a window older than the given one? */
export function isOlderWindow(name: string, { base, name: current }: Window): boolean {
  return isWindowName(name, base) && name < current;
}

/** Gives every rolling index of a manifest the name and the bound of its current window. */
export function expandRolling(manifest: Manifest, now: Date): Manifest {
  const { mongo, postgres } = manifest;
  return {
    ...manifest,
    ...(mongo ? { mongo: expand(mongo, now, mongoWindow) } : {}),
    ...(postgres ? { postgres: expand(postgres, now, postgresWindow) } : {}),
  };
}

/** The current windows at `now`, by their names in the database. */
export function windowsOf(manifest: Manifest, now: Date): ReadonlyMap<string, Window> {
  const all = [...Object.values(manifest.mongo ?? {}), ...Object.values(manifest.postgres ?? {})].flat();
  const windows = all.flatMap(({ name, rolling }) => (rolling ? [windowAt(name, rolling, now)] : []));
  return new Map(windows.map((window) => [window.name, window]));
}

function expand<Index extends MongoIndex | PostgresIndex>(
  targets: Readonly<Record<string, readonly Index[]>>,
  now: Date,
  inWindow: (index: Index, window: Window, column: string) => Index,
): Readonly<Record<string, readonly Index[]>> {
  return Object.fromEntries(
    Object.entries(targets).map(([target, indexes]) => [
      target,
      indexes.map((index) => {
        const { rolling } = index;
        return rolling ? inWindow(index, windowAt(index.name, rolling, now), rolling.column) : index;
      }),
    ]),
  );
}

function postgresWindow(index: PostgresIndex, { name, bound }: Window, column: string): PostgresIndex {
  const inWindow = `"${column.replaceAll('"', '""')}" >= '${bound}'`;
  return {
    ...index,
    name,
    where: index.where === undefined ? inWindow : `${parenthesised(index.where)} AND ${inWindow}`,
  };
}

function mongoWindow(index: MongoIndex, { name, bound }: Window, column: string): MongoIndex {
  return { ...index, name, partial: { ...index.partial, [column]: { $gte: new Date(bound) } } };
}
