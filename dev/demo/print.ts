import { styleText } from "node:util";

const WIDTH = 100;

/** Prints one or several lines on standard output. */
export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a heading after an empty line, bold on a terminal. */
export function heading(text: string): void {
  say(`\n${process.stdout.isTTY ? styleText("bold", text) : text}`);
}

/** Indents every line. */
export function indented(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}

/** Wraps a line between words; the lines after the first are indented further. */
export function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length + word.length > WIDTH && line.trim() !== "") {
      lines.push(line.trimEnd());
      line = `${indent}  `;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()].join("\n");
}

/** Prints a line that the next call overwrites, on a terminal only; without a text clears it. */
export function passing(text = ""): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\x1b[K`);
}

/** An amount in dollars and cents, truncated. */
export function money(amount: string): string {
  const [whole = "0", fraction = ""] = amount.split(".");
  return `$${BigInt(whole).toLocaleString("en")}.${fraction.padEnd(2, "0").slice(0, 2)}`;
}
