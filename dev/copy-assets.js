/** After the compiler: copies what it leaves behind, the migrations, to where the compiled code looks for them. */
import { cp, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const from = fileURLToPath(new URL("../src/db/postgres/migrations", import.meta.url));
const to = fileURLToPath(new URL("../dist/src/db/postgres/migrations", import.meta.url));

await rm(to, { recursive: true, force: true }); // a migration that was renamed must not be there twice
await cp(from, to, { recursive: true });
