import js from "@eslint/js";
import tseslint from "typescript-eslint";

/** Parts of fast-check that draw from a seed of their own. */
const UNSEEDED = ["assert", "check", "sample", "statistics"];
const HOLDS = "Use holds() of test/support/property.ts: it takes the printed seed and PROPERTY_RUNS.";
/** Tables are emptied by DELETE, which takes a hundredth of the time while rows are few. */
const SLOW_RESETS = ["Literal[value=/TRUNCATE/]", "TemplateElement[value.raw=/TRUNCATE/]"].map((selector) => ({
  selector,
  message: "Use world.reset() or world.empty() of test/support/world.ts.",
}));
/** An expectation that may not be reached proves nothing. */
const UNSURE = [
  "IfStatement[alternate=null] CallExpression[callee.name='expect']",
  "CatchClause CallExpression[callee.name='expect']",
  "CallExpression[callee.property.name='catch'] CallExpression[callee.name='expect']",
  "LogicalExpression > CallExpression.right CallExpression[callee.name='expect']",
].map((selector) => ({
  selector,
  message:
    "Expect it in every case: put the condition into what is expected, or use refusal() of test/support/refusal.ts.",
}));

export default tseslint.config(
  { ignores: ["dist/", "coverage/", "node_modules/"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "max-lines": ["error", { max: 300, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/cli/terminal.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-properties": [
        "error",
        ...["stdout", "stderr", "stdin"].map((property) => ({
          object: "process",
          property,
          message: "Use src/cli/terminal.ts: it makes ids and errors printable.",
        })),
      ],
    },
  },
  {
    files: ["test/**/*.ts"],
    ignores: ["test/support/property.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        ...UNSEEDED.map((property) => ({ object: "fc", property, message: HOLDS })),
        {
          object: "Math",
          property: "random",
          message: "Use mulberry32() of test/support/random.ts with a fixed seed.",
        },
      ],
      "no-restricted-imports": [
        "error",
        { name: "fast-check", importNames: UNSEEDED, message: HOLDS },
        { name: "vitest", importNames: ["it"], message: "Use test, as all other tests do." },
      ],
      "no-restricted-syntax": ["error", ...SLOW_RESETS, ...UNSURE],
    },
  },
  {
    files: ["**/*.js"],
    languageOptions: { globals: { console: "readonly", process: "readonly", URL: "readonly" } },
  },
);
