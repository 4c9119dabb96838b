/** What users get: the packed packages, installed into an empty folder with install scripts off. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { publint } from "publint";
import { command, emptyFolder, installed, pack, publishedPackages, withDependencies } from "./workspace.ts";

const libraryExample = `
import { attend } from "@infllm/attention";
import { sparseConfig } from "@infllm/block-selection";
import { cpuBackend } from "@infllm/backend-cpu";
import { random } from "@infllm/tensor";

const [length, heads, kvHeads, headDim] = [512, 4, 1, 16];
const { normals } = random(7);
const [q, k, v] = [heads, kvHeads, kvHeads].map((count) => normals(length * count * headDim));
const backend = await cpuBackend({ threads: 2 });
const config = sparseConfig({ topk: 2, windowSize: 64, denseLen: 0 });
const result = await attend(backend, { q, k, v, heads, kvHeads, headDim, config });
console.log(JSON.stringify({ out: result.out.length, finite: result.out.every(Number.isFinite), sparse: result.sparse }));
await backend.close();
`;

test("tensor, block-selection, attention and backend-cpu work from their tarballs", { timeout: 240_000 }, async () => {
  const names = ["@infllm/tensor", "@infllm/block-selection", "@infllm/attention", "@infllm/backend-cpu"];
  const folder = await installed(await pack(names, await emptyFolder()));
  await writeFile(join(folder, "example.mjs"), libraryExample);
  const run = await command(process.execPath, ["example.mjs"], folder);
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(run.stdout)).toEqual({ out: 512 * 4 * 16, finite: true, sparse: true });
});

test("infllm works from its tarball", { timeout: 240_000 }, async () => {
  const folder = await installed(await pack(withDependencies("infllm"), await emptyFolder()));
  const infllm = (...args: string[]) => command(join(folder, "node_modules/.bin/infllm"), args, folder);

  const version = await infllm("--version");
  expect(version).toMatchObject({ code: 0, stdout: `${publishedPackages().get("infllm")?.manifest.version}\n` });

  const generated = await infllm("generate", "--prompt", "It was a dark night", "--max-tokens", "4", "--json");
  expect(generated.code).toBe(0);
  expect(JSON.parse(generated.stdout)).toMatchObject({ stats: { generatedTokens: 4 } });

  const cuda = await infllm("generate", "--prompt", "Hello", "--backend", "cuda");
  expect(cuda).toMatchObject({ code: 1, stdout: "" });
  expect(cuda.stderr).toContain("@infllm/backend-cuda is not installed. To use it: npm install @infllm/backend-cuda koffi");
  expect(await infllm("generate", "--prompt", "Hello", "--max-tokens", "1", "--backend", "auto")).toMatchObject({ code: 0, stderr: "" });

  const wrong = await infllm("generate", "--max-tokens", "many");
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("many");
});

test("infllm-bench works from its tarball", { timeout: 240_000 }, async () => {
  const folder = await installed(await pack(withDependencies("@infllm/bench"), await emptyFolder()));
  const bench = (...args: string[]) => command(join(folder, "node_modules/.bin/infllm-bench"), args, folder);

  const needle = await bench("needle", "--lengths", "256", "--methods", "full");
  expect(needle).toMatchObject({ code: 0, stderr: "" });
  const fixture = await bench("longbench", "--tasks", "passage_count", "--methods", "full", "--samples", "1", "--lengths", "512", "--max-answer", "4");
  expect(fixture).toMatchObject({ code: 0, stderr: "" });
  const apart = await bench("e2e", "--engines", "infllm", "--lengths", "64", "--decode", "2");
  expect(apart).toMatchObject({ code: 0, stderr: "" });
  expect(await bench("e2e", "--lengths", "64")).toMatchObject({ code: 1, stderr: expect.stringContaining("npm install node-llama-cpp") as unknown });
  expect(await bench("report")).toMatchObject({ code: 0, stdout: "wrote report.html and report.md\n" });
});

test.each([...publishedPackages().keys()])("%s is packed as publint wants it", { timeout: 120_000 }, async (name) => {
  const [tarball = ""] = await pack([name], await emptyFolder());
  const folder = await emptyFolder();
  expect(await command("tar", ["-xzf", tarball, "-C", folder], folder)).toMatchObject({ code: 0 });
  const { messages } = await publint({ pkgDir: join(folder, "package"), pack: false, strict: true });
  expect(messages).toEqual([]);
});
