import { blocks, type Lines } from "../../src/cli/lines.ts";
import { EXIT } from "../../src/errors.ts";
import { THEMES } from "./assumptions.ts";
import type { TestRun } from "./integration.ts";
import { knownOf, type Result, type Server } from "./try-all.ts";

/** Something differs that is not known of this server. */
export const NEWS = 3;

export interface Checked {
  readonly server: Server;
  readonly results: readonly Result[];
  readonly tests: TestRun;
}

/** The table filled in: a line each for what a row says, its source, and what was seen here. */
export function reportLines({ server, results, tests }: Checked): Lines {
  const byRow = new Map(results.map((result) => [result.row, result]));
  const themes = THEMES.map(({ title, rows }) => [title, ...rows.flatMap((row) => rowLines(byRow.get(row), server))]);
  return blocks(...themes, testLines(tests), [summary({ server, results, tests })]);
}

function rowLines(result: Result | undefined, server: Server): string[] {
  if (!result) return [];
  const { row, verdict, observed, isNews } = result;
  const known = knownOf(row, server).note;
  const why = isNews ? " (not known of this server)" : known === undefined ? "" : ` (known: ${known})`;
  return [
    `  ${row.id}`,
    `    says    ${row.says}`,
    `    source  ${row.source}`,
    `    here    ${verdict}: ${observed}${why}`,
  ];
}

function testLines({ failed, passed }: TestRun): string[] {
  const lines = failed.flatMap(({ test, message }) => [`  failed  ${test}`, `          ${message.split("\n")[0]}`]);
  return ["Tests of test/mongodb", `  ${passed} passed, ${failed.length} failed`, ...lines];
}

function summary({ server, results, tests }: Checked): string {
  const count = (wanted: (result: Result) => boolean) => results.filter(wanted).length;
  const holds = count(({ verdict }) => verdict === "holds");
  const differs = count(({ verdict }) => verdict === "differs");
  const unknown = count(({ verdict }) => verdict === "cannot tell");
  const untried = count(({ verdict }) => verdict === "not tried");
  const news = count(({ isNews }) => isNews);
  return (
    `${server.product}: of ${results.length} assumptions ${holds} hold, ${differs} differ, ${unknown} cannot be told here, ` +
    `${untried} need another set-up; ${news} not known before. Tests: ${tests.passed} passed, ${tests.failed.length} failed.`
  );
}

/** 0, or 3 where a row is news or a test failed. */
export function exitCodeOf({ results, tests }: Checked): number {
  const isFine = tests.failed.length === 0 && !results.some(({ isNews }) => isNews);
  return isFine ? EXIT.done : NEWS;
}

/** The same as one document. */
export function reportJson(checked: Checked): object {
  const rows = checked.results.map(({ row, ...result }) => {
    const { id, says, why, source, heldBy } = row;
    return { id, says, why, source, heldBy, ...result };
  });
  return { server: checked.server, rows, tests: checked.tests, ok: exitCodeOf(checked) === EXIT.done };
}
