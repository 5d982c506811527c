import { createProgram } from "./cli/program.ts";
import { stackLines } from "./cli/lines.ts";
import { complain, endWithReader } from "./cli/terminal.ts";
import { EXIT } from "./errors.ts";

endWithReader();
// Node would print the error as it is, and exit with 1, which means wrong use here.
process.on("uncaughtException", (error) => {
  complain([`unexpected error: ${error.message}`, ...stackLines(error)]);
  process.exit(EXIT.failed);
});
await createProgram().parseAsync();
