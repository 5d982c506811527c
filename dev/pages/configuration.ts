import { loadConfig, SETTINGS } from "../../src/config.ts";
import { generatedFrom, type Page } from "./page.ts";

const FROM = "src/config.ts";

/** The reference of all settings. */
export const configurationPage: Page = {
  file: "configuration.md",
  from: FROM,
  text() {
    const defaults = loadConfig({}) as unknown as Readonly<Record<string, unknown>>;
    const row = ([name, { env, doc }]: [string, (typeof SETTINGS)[keyof typeof SETTINGS]]): string => {
      const value = defaults[name];
      const text = typeof value === "object" ? "{}" : (value as string | number | undefined);
      const fallback = text === undefined ? "" : `\`${text}\``;
      return `| \`${env}\` | ${fallback} | ${doc} |`;
    };
    return `${generatedFrom(FROM)}

# Settings

Settings come from the environment. Those without a default are off unless set. Each connection string may come from a file
instead, named by the setting's name with \`_FILE\` behind it, as container secrets are. \`tallyman config\` prints the
values in force, passwords masked. A wrong value stops every command with exit code 1 and a list of all that is wrong.

| setting | default | |
|---|---|---|
${Object.entries(SETTINGS).map(row).join("\n")}
`;
  },
};
