import { createProgram } from "./cli/program.ts";

// A reader that leaves early, such as `| head`, is no fault of the command: it ends as the shell's own tools do.
process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => process.exit(code === "EPIPE" ? 0 : 4));

await createProgram().parseAsync();
