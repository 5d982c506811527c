import { styleText } from "node:util";

const WIDTH = 100;

/** A line, or several, on standard output. */
export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** A heading with an empty line before it, bold on a terminal. */
export function heading(text: string): void {
  say(`\n${process.stdout.isTTY ? styleText("bold", text) : text}`);
}

/** Every line set in. */
export function indented(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}

/** Breaks a line between words so that it fits; the lines that follow are set in further than the first. */
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

/** One line that is overwritten, on a terminal only; without a text it is cleared. */
export function passing(text = ""): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\x1b[K`);
}

/** An amount in dollars and cents, cut. */
export function money(amount: string): string {
  const [whole = "0", fraction = ""] = amount.split(".");
  return `$${BigInt(whole).toLocaleString("en")}.${fraction.padEnd(2, "0").slice(0, 2)}`;
}
