import { printable } from "../printable.ts";

/**
 * Text for people, a line a string. What a string holds never breaks its line: the terminal shows a line break in it as
 * an escape. So an id or a server's error, whatever is in it, cannot add a line.
 */
export type Lines = readonly string[];

/** The lines as a terminal may show them. */
export function asText(lines: string | Lines): string {
  return (typeof lines === "string" ? [lines] : lines).map((line) => `${printable(line)}\n`).join("");
}

/** The calls of an error's stack; the message before them may itself hold line breaks. */
export function stackLines({ message, stack = "" }: Error): Lines {
  const begin = stack.indexOf(message) + message.length;
  return stack.slice(begin).split("\n").filter(Boolean);
}

/** Blocks of lines with an empty line between them; leaves out blocks without lines. */
export function blocks(...parts: readonly Lines[]): Lines {
  return parts.filter((lines) => lines.length > 0).flatMap((lines, index) => (index === 0 ? lines : ["", ...lines]));
}
