import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { FormatError, NotAvailableError } from "@infllm/tensor";
import { afterEach, expect, it } from "vitest";
import { fetchedSource } from "./fetched-source.ts";

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serving(answer: RequestListener): Promise<string> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/weights`;
}

const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i);

it("fetches the file once, with progress, and reads it by range", async () => {
  let requests = 0;
  const url = await serving((_, response) => {
    requests++;
    response.setHeader("Content-Length", bytes.length).end(bytes);
  });
  const seen: number[] = [];
  const source = await fetchedSource(url, {
    onProgress: (loaded, total) => {
      expect(total).toBe(bytes.length);
      seen.push(loaded);
    },
  });
  expect(source.size).toBe(bytes.length);
  expect(await source.read(299_990, 300_000)).toEqual(bytes.subarray(299_990));
  expect(await source.read(0, 5)).toEqual(bytes.subarray(0, 5));
  expect(seen.at(-1)).toBe(bytes.length);
  expect(requests).toBe(1);
});

it("stops when aborted, with the signal's reason", async () => {
  const url = await serving((_, response) => {
    response.setHeader("Content-Length", bytes.length).write(bytes.subarray(0, 1000));
  });
  const stop = new AbortController();
  const loading = fetchedSource(url, { signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) });
  await expect(loading).rejects.toThrow("enough");
});

it("says what is wrong with an answer", async () => {
  const url = await serving((request, response) => {
    if (request.url === "/weights") response.writeHead(404).end();
    else response.setHeader("Content-Length", 10).write("four", () => response.destroy());
  });
  await expect(fetchedSource(url)).rejects.toThrow(/answered 404 .*check the name/);
  await expect(fetchedSource(`${url}-short`)).rejects.toThrow(NotAvailableError);
  server?.closeAllConnections();
  server?.close();
  await expect(fetchedSource(url)).rejects.toThrow(/cannot be fetched \(fetch failed: .*Check the connection/);
});

it("refuses a body shorter than announced that ends without an error", async () => {
  const real = globalThis.fetch;
  globalThis.fetch = async () => new Response("four", { headers: { "Content-Length": "10" } });
  try {
    await expect(fetchedSource("https://example.org/x")).rejects.toThrow(FormatError);
  } finally {
    globalThis.fetch = real;
  }
});
