import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { explain, serve } from "../scripts/serve.mjs";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-serve-"));
  await writeFile(join(folder, "index.html"), "<title>page</title>");
  await writeFile(join(folder, "weights.safetensors"), new Uint8Array(1000));
});
afterAll(() => rm(folder, { recursive: true }));

it("serves files with the headers that threads need, by range, uncompressed", async () => {
  const { url, close } = await serve({ port: 0, folder });
  const page = await fetch(url);
  expect(await page.text()).toBe("<title>page</title>");
  expect(Object.fromEntries(page.headers)).toMatchObject({
    "content-type": "text/html;charset=utf-8",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  });
  const part = await fetch(`${url}weights.safetensors`, { headers: { Range: "bytes=10-19" } });
  expect([part.status, part.headers.get("content-range"), part.headers.get("content-encoding")]).toEqual([206, "bytes 10-19/1000", null]);
  expect((await fetch(`${url}nothing`)).status).toBe(404);
  await close();
});

it("takes the next free port unless one was asked for, and says what is wrong with that", async () => {
  const first = await serve({ folder });
  const second = await serve({ folder });
  const port = Number(new URL(first.url).port);
  expect(Number(new URL(second.url).port)).toBeGreaterThan(port);
  const refused: unknown = await serve({ folder, port }).catch((error: unknown) => error);
  expect(explain(refused, { port })).toBe(`port ${port} is in use. Name another with --port, or leave it out to take the first free one.`);
  const elsewhere: unknown = await serve({ folder, port: 0, host: "203.0.113.9" }).catch((error: unknown) => error);
  expect(explain(elsewhere, { host: "203.0.113.9" })).toMatch(/this machine has no address 203.0.113.9/);
  await first.close();
  await second.close();
});

it("says so when the page is not built", async () => {
  const missing: unknown = await serve({ port: 0, folder: join(folder, "dist") }).catch((error: unknown) => error);
  expect(explain(missing, {})).toMatch(/not built yet. Run npm run web/);
});
