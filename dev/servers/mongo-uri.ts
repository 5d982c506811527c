const URI = /^(mongodb(?:\+srv)?:\/\/)([^/?]+)(?:\/([^?]*))?(?:\?(.*))?$/;

/**
 * The URI with that database in its path and its query string. Not with `URL`, which cannot parse a list of hosts. The
 * database in the path is also where credentials are looked up, so with credentials it is kept as `authSource`.
 */
export function withMongoDatabase(mongodbUri: string, database: string): string {
  const [, scheme, hosts, before, query] = URI.exec(mongodbUri) ?? [];
  if (scheme === undefined || hosts === undefined) throw new Error("not a MongoDB URI: it must begin with mongodb://");
  const options = query === undefined || query === "" ? [] : query.split("&");
  const named = options.some((option) => option.toLowerCase().startsWith("authsource="));
  if (hosts.includes("@") && !named && before) options.push(`authSource=${before}`);
  // Without a database in the path it is "admin", but only then.
  else if (hosts.includes("@") && !named && database !== "" && !/authmechanism=/i.test(query ?? "")) {
    options.push("authSource=admin");
  }
  return `${scheme}${hosts}/${database}${options.length === 0 ? "" : `?${options.join("&")}`}`;
}

export function stripMongoDatabase(mongodbUri: string): string {
  return withMongoDatabase(mongodbUri, "");
}
