/** A connection string without its password, nor any parameter that may hold one. */
export function redact(connectionString: string): string {
  return connectionString
    .replace(/^([\w+]+:\/\/[^:@/?#]*):.*@/, "$1:***@")
    .replace(/([?&][^=&]*(?:password|secret|token|key|authMechanismProperties)[^=&]*=)[^&]*/gi, "$1***");
}
