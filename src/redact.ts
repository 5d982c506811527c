/** A connection string with its password, and every parameter that may hold a secret, masked. */
export function redact(connectionString: string): string {
  return connectionString
    .replace(/^([\w+]+:\/\/[^:@/?#]*):.*@/, "$1:***@")
    .replace(/([?&][^=&]*(?:password|secret|token|key|authMechanismProperties)[^=&]*=)[^&]*/gi, "$1***");
}
