import { createInterface } from "node:readline/promises";
import { printable, printableJson } from "../printable.ts";
import { asText, type Lines } from "./lines.ts";

/*
 * The one place where a command writes to the terminal; a lint rule keeps the streams of the process to this file. Ids,
 * reasons and servers' errors may hold characters that move the cursor, forge a line or change the direction of text, so
 * all text is made printable here, and only this file adds control characters.
 */

/** Erases the rest of the line. */
const ERASE = "\x1b[K";

/** Prints lines on standard output. */
export function print(lines: string | Lines): void {
  process.stdout.write(asText(lines));
}

/** Prints one JSON document, on one line, on standard output. */
export function printJson(data: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(data))}\n`);
}

/** Tells a person something beside the answer, on standard error. */
export function tell(lines: string | Lines): void {
  process.stderr.write(asText(lines));
}

/** The same about an error, after the program's name. */
export function complain(lines: string | Lines): void {
  const [first = "", ...rest] = typeof lines === "string" ? [lines] : lines;
  tell([`tallyman: ${first}`, ...rest]);
}

/** Is standard error a terminal, where a line can be drawn again? */
export function isTerminal(): boolean {
  return Boolean(process.stderr.isTTY);
}

/** Draws the line of standard error again. */
export function redraw(line: string): void {
  process.stderr.write(`\r${printable(line)}${ERASE}`);
}

/** Erases the line of standard error. */
export function erase(): void {
  process.stderr.write(`\r${ERASE}`);
}

/** Is there a person at standard input who can be asked? */
export function canAsk(): boolean {
  return Boolean(process.stdin.isTTY);
}

/** Asks the person at the terminal. */
export async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(printable(question));
  } finally {
    terminal.close();
  }
}

/** A reader that leaves early, such as `| head`, is no fault of the command: it ends as the shell's own tools do. */
export function endWithReader(): void {
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EPIPE" ? 0 : 4));
}
