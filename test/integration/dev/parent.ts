/**
 * A process for the tests to end the hard way. `servers`: starts one server of each kind and prints their addresses and
 * pids as one line of JSON. `install`: begins an install that does not end, and prints the pid of its command.
 */
import { startMongo, startPostgres, startRedis } from "../../../dev/servers.ts";
import { Guard } from "../../../dev/servers/guard.ts";
import { install } from "../../../dev/servers/install.ts";
import { endlessRecipe } from "./recipes.ts";

const [what, cache] = process.argv.slice(2);
if (what === "install" && cache !== undefined) {
  const guard = await Guard.start();
  void install(endlessRecipe, { guard, cache, print: (line) => console.log(JSON.stringify({ line })) });
} else {
  const starts = what === "quick" ? [startRedis(), startPostgres()] : [startRedis(), startPostgres(), startMongo()];
  const running = await Promise.all(starts);
  const pids = running.flatMap(({ pid, behind }) => [pid, behind?.pid]).filter((pid) => pid !== undefined);
  console.log(JSON.stringify({ pids, uris: running.map(({ uri }) => uri) }));
}
setInterval(() => undefined, 1_000);
