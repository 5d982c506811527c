import type { RedisOptions, SentinelAddress } from "ioredis";

/** Options of a connection; the form of replies is always the driver's own. */
export type Options = Omit<RedisOptions, "replyMapping">;

/** Where Redis is, and how to sign in. */
export interface RedisAddress {
  /** user, password, database and TLS; without Sentinel also host and port */
  readonly url: string;
  /** Sentinels that know the primary; each a connection string */
  readonly sentinels: readonly string[];
  /** the primary's name at the Sentinels */
  readonly sentinelName: string;
}

/**
 * What is wrong with the connection, said by the server itself: it is a replica by now, or loads or copies its data. Redis
 * before 7 says it in the middle of a script's error.
 */
const NOT_NOW = /\b(READONLY|MASTERDOWN|NOREPLICAS|LOADING|CLUSTERDOWN|UNBLOCKED)\b/;
/** The server refuses this user: a password was changed, or a right was taken away. */
const REFUSED = /(^|\b)(NOAUTH|WRONGPASS|NOPERM)\b|ACL failure in script|can't run this command or subcommand/;

/** Does the error of a command mean that the server refuses this user? */
export function isRefused(error: unknown): boolean {
  return REFUSED.test((error as Error).message);
}

/**
 * Connects again where the server answers that it does not serve now: the address may lead to another one by then. The
 * command fails, so that the log says why, and its caller tries again after a pause.
 */
export function reconnectOnError(error: Error): boolean {
  return isUnfit(error);
}

/** Does the error of a command mean that the server does not serve now, or takes no writes? */
export function isUnfit(error: unknown): boolean {
  return NOT_NOW.test((error as Error).message);
}

/** Options of a connection to the address, beside those of its purpose. */
export function addressOptions({ url, sentinels, sentinelName }: RedisAddress): Options {
  const { username, password, hostname, port, pathname, protocol } = new URL(url);
  const tls = protocol === "rediss:" ? { tls: { servername: hostname } } : {};
  const own: Options = {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
    db: Number(pathname.slice(1) || 0),
    ...tls,
  };
  if (sentinels.length === 0) {
    return { ...own, host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port || 6379) };
  }
  const urls = sentinels.map((sentinel) => new URL(sentinel));
  const signsIn = urls.find((sentinel) => sentinel.password !== "");
  return {
    ...own,
    sentinels: urls.map(({ hostname: host, port: at }): SentinelAddress => ({ host, port: Number(at || 26_379) })),
    name: sentinelName,
    ...(signsIn?.username ? { sentinelUsername: decodeURIComponent(signsIn.username) } : {}),
    ...(signsIn ? { sentinelPassword: decodeURIComponent(signsIn.password) } : {}),
    ...(urls.some((sentinel) => sentinel.protocol === "rediss:")
      ? { enableTLSForSentinelMode: true, sentinelTLS: {} }
      : {}),
  };
}
