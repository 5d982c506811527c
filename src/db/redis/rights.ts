import { UsageError } from "../../errors.ts";
import { isRefused } from "./address.ts";
import { inTime, type RedisClient } from "./connect.ts";

/** A call of each command that the queue library's scripts (6.7.0) make; k1 to k5 are keys of one type each. */
const CALLS = `
  SET k1 1|GET k1|INCR k1|INCRBY k1 1|EXISTS k1|PTTL k1|PEXPIRE k1 60000|PERSIST k1|TYPE k1|TIME
  HSET k2 a 1|HMSET k2 b 1|HGET k2 a|HMGET k2 a b|HGETALL k2|HEXISTS k2 a|HINCRBY k2 a 1|HLEN k2|HDEL k2 b
  RPUSH k3 a|LPUSH k3 b|LLEN k3|LRANGE k3 0 -1|LINDEX k3 0|LPOS k3 a|LSET k3 0 c|LTRIM k3 0 9|LREM k3 0 c|RPOPLPUSH k3 k3
  LPOP k3|RPOP k3|ZADD k4 1 a|ZSCORE k4 a|ZCARD k4|ZCOUNT k4 0 1|ZRANGE k4 0 -1|ZREVRANGE k4 0 -1|ZRANGEBYSCORE k4 0 1
  ZREVRANGEBYSCORE k4 1 0|ZRANGEBYLEX k4 - +|ZLEXCOUNT k4 - +|ZREMRANGEBYSCORE k4 5 6|ZREMRANGEBYRANK k4 5 6|ZPOPMIN k4
  ZREM k4 a|SADD k5 a|SCARD k5|SISMEMBER k5 a|SMEMBERS k5|SREM k5 a|XADD k6 * a 1|XLEN k6|XRANGE k6 - +|XTRIM k6 MAXLEN 1
  UNLINK k1|DEL k1 k2 k3 k4 k5 k6`
  .trim()
  .split(/\s*[|\n]\s*/)
  .map((call) => call.split(" "));

/** Makes every call and answers the refused ones. "k1" stands for the first key. */
const SCRIPT = `
local refused = {}
for _, call in ipairs(cjson.decode(ARGV[1])) do
  for n = 2, #call do
    local key = string.match(call[n], '^k(%d)$')
    if key then call[n] = KEYS[tonumber(key)] end
  end
  local answer = redis.pcall(unpack(call))
  if type(answer) == 'table' and answer.err then refused[#refused + 1] = call[1] .. ' ' .. answer.err end
end
return refused`;

/**
 * Tries once what the queue will ask for all the time: a user without a right would only meet one error after another.
 *
 * @param prefix of the queue's keys
 * @throws UsageError that names each command that the user may not run, and the statement that allows them
 */
export async function requireRights(redis: RedisClient, prefix: string): Promise<void> {
  const keys = [1, 2, 3, 4, 5, 6].map((n) => `${prefix}:rights:${n}`);
  let refused: readonly string[];
  try {
    const answer = (await inTime(redis.eval(SCRIPT, keys.length, ...keys, JSON.stringify(CALLS)))) as string[];
    refused = answer.filter((line) => isRefused(new Error(line.slice(line.indexOf(" ") + 1))));
    await inTime(redis.bzpopmin(keys[3] as string, 0.001));
  } catch (error) {
    if (!isRefused(error)) throw error;
    refused = [/'([^']+)' command/.exec((error as Error).message)?.[1]?.toUpperCase() ?? (error as Error).message];
  }
  if (refused.length === 0) return;
  const names = [...new Set(refused.map((line) => line.split(" ")[0]?.toLowerCase() ?? ""))];
  throw new UsageError(
    `The user of REDIS_URL lacks rights that the queue needs: ${names.join(", ")}. ` +
      `Let an administrator run: ACL SETUSER <user> ${names.map((name) => `+${name}`).join(" ")} ~${prefix}:*`,
  );
}
