/** A page of docs that is written from the sources. */
export interface Page {
  /** in docs */
  readonly file: string;
  /** the file to change instead, from the root */
  readonly from: string;
  text(): string;
}

/** The first line of a generated page. */
export const generatedFrom = (from: string): string => `<!-- Generated from ${from} by npm run docs; do not edit. -->`;

/** Text as one cell of a table. */
export const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
