import { expect, test } from "vitest";
import { HttpServer } from "../../../src/http/server.ts";

test("an error of a scrape is one printable line", async () => {
  const text = () => Promise.reject(new Error("no answer of \x1b[2J\u202e\nforged"));
  const server = new HttpServer("127.0.0.1", 0, () => Promise.resolve([]), { contentType: "text/plain", text });
  await server.start();
  try {
    const response = await fetch(`${server.address}/metrics`);
    expect([response.status, await response.text()]).toEqual([503, "no answer of \\u001b[2J\\u202e\\nforged\n"]);
  } finally {
    await server.stop();
  }
});
