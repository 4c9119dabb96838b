import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ConfigError, FormatError, NotAvailableError, random } from "@infllm/tensor";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { startHub } from "../../test/formats/hub-server.ts";
import type { HubServer } from "../../test/formats/hub-server.ts";
import { downloadFile, partPath } from "./download.ts";
import type { Download } from "./download.ts";
import { pullModel } from "./hub-files.ts";
import { neededFiles, parseHubName } from "./hub-name.ts";
import { openModelFiles } from "./model-files.ts";
import type { DownloadProgress, ModelFiles, ModelFilesOptions } from "./model-files.ts";

const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const weights = Uint8Array.from({ length: 300_000 }, random(1).next);

/** Equality of long arrays, which `toEqual` takes seconds for. */
function expectWeights(found: Uint8Array): void {
  expect(Buffer.compare(found, weights)).toBe(0);
}

let hub: HubServer;
let cacheDir: string;

beforeEach(async () => {
  // A token or endpoint of the person who runs the tests must not reach them.
  for (const name of ["HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "INFLLM_CACHE"]) vi.stubEnv(name, "");
  vi.stubEnv("HF_ENDPOINT", undefined);
  cacheDir = await mkdtemp(join(tmpdir(), "infllm-hub-"));
  hub = await startHub({
    "org/model": {
      files: {
        "config.json": text('{"a":1}'),
        "tokenizer.json": text("{}"),
        "README.md": text("not needed"),
        "model.safetensors": weights,
        "pytorch_model.bin": text("not needed"),
        "sub/notes.txt": text("not needed"),
      },
    },
    "org/quants": { files: { "m-Q4_K_M.gguf": text("four"), "m-Q8_0.gguf": text("eight"), "README.md": text("") } },
    "org/gated": { files: { "config.json": text("{}"), "model.safetensors": text("x") }, token: "hf_right" },
  });
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  await rm(cacheDir, { recursive: true, force: true });
});

const open = (source: string, options: ModelFilesOptions = {}): Promise<ModelFiles> =>
  openModelFiles(source, { cacheDir, hubUrl: hub.url, ...options });

async function content(files: ModelFiles, path: string): Promise<Uint8Array> {
  const source = await files.open(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

describe("names", () => {
  it("take a revision, a file or a quantisation", () => {
    expect(parseHubName("hf:a/b")).toEqual({ repo: "a/b", revision: "main" });
    expect(parseHubName("hf:a/b@refs/pr/1")).toEqual({ repo: "a/b", revision: "refs/pr/1" });
    expect(parseHubName("hf:a/b/sub/x.gguf@v1")).toEqual({ repo: "a/b", revision: "v1", file: "sub/x.gguf" });
    expect(parseHubName("hf:a/b:Q4_K_M")).toEqual({ repo: "a/b", revision: "main", quantization: "Q4_K_M" });
  });

  it.each(["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@../x", "hf:a/b/../x.gguf", "hf:a b/c", "hf:a/b?x"])("refuse %s", (name) => {
    expect(() => parseHubName(name)).toThrow(ConfigError);
  });

  it("choose the needed files", () => {
    const choose = (name: string, ...all: string[]): string[] => neededFiles(name, parseHubName(name), all);
    const shards = ["model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"];
    expect(choose("hf:a/b", "config.json", "x.bin", ...shards)).toEqual(["config.json", ...shards].sort());
    expect(choose("hf:a/b", "model.safetensors", "consolidated.safetensors", "sub/model.safetensors")).toEqual(["model.safetensors"]);
    expect(choose("hf:a/b", "README.md", "only.gguf")).toEqual(["only.gguf"]);
    expect(choose("hf:a/b:q8_0", "m-Q8_0.gguf", "m-IQ8_0.gguf", "m.Q4_0.gguf")).toEqual(["m-Q8_0.gguf"]);
    expect(() => choose("hf:a/b", "a.gguf", "b.gguf")).toThrow(/2 GGUF files to choose from.*a.gguf, b.gguf/);
    expect(() => choose("hf:a/b:Q2_K", "m-Q8_0.gguf")).toThrow(/no fitting GGUF file.*m-Q8_0.gguf/);
    expect(() => choose("hf:a/b/x.gguf", "m-Q8_0.gguf")).toThrow(NotAvailableError);
    expect(() => choose("hf:a/b", "pytorch_model.bin")).toThrow(/neither safetensors nor GGUF.*pytorch_model.bin/);
  });
});

describe("fetching", () => {
  it("gets only what is needed, once, with progress", async () => {
    const seen: DownloadProgress[] = [];
    const files = await open("hf:org/model", { onProgress: (progress) => seen.push(progress) });
    expect(await files.list()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expectWeights(await content(files, "model.safetensors"));
    expect(await content(files, "config.json")).toEqual(text('{"a":1}'));
    expect(seen.filter(({ file }) => file === "model.safetensors").at(-1)).toEqual({ file: "model.safetensors", loaded: 300_000, total: 300_000 });
    await expect(files.open("README.md")).rejects.toThrow(/has no file "README.md"; it holds config.json/);
    const before = hub.requests.length;
    expectWeights(await content(await open("hf:org/model"), "model.safetensors"));
    // Only the tree was asked for again.
    expect(hub.requests.length).toBe(before + 1);
    expect(hub.requests.some((request) => request.includes("README") || request.includes("pytorch"))).toBe(false);
  });

  it("pulls a whole model into plain files", async () => {
    const { folder, files, bytes } = await pullModel("hf:org/model", { cacheDir, hubUrl: hub.url });
    expect(files).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect(bytes).toBe(300_009);
    expectWeights(await readFile(join(folder, "model.safetensors")));
    expect((await readdir(folder)).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("picks a GGUF file by quantisation", async () => {
    expect(await content(await open("hf:org/quants:q8_0"), "m-Q8_0.gguf")).toEqual(text("eight"));
    await expect(open("hf:org/quants")).rejects.toThrow(/2 GGUF files to choose from/);
  });

  it("reads by range without storing when asked to", async () => {
    const files = await open("hf:org/model", { download: false });
    const source = await files.open("model.safetensors");
    expect(source.size).toBe(300_000);
    expect(await source.read(5, 9)).toEqual(weights.subarray(5, 9));
    expect(hub.requests.at(-1)).toMatch(/bytes=5-8$/);
    expect(existsSync(join(cacheDir, new URL(hub.url).host.replace(":", "_"), "org", "model", "main", "model.safetensors"))).toBe(false);
  });

  it("sends the token, and says what is missing without one", async () => {
    expect(await content(await open("hf:org/gated", { token: "hf_right" }), "config.json")).toEqual(text("{}"));
    vi.stubEnv("HF_TOKEN", "hf_right");
    await open("hf:org/gated");
    const wrong = await open("hf:org/gated", { token: "hf_wrong" }).catch((error: unknown) => error);
    expect(wrong).toBeInstanceOf(NotAvailableError);
    expect((wrong as Error).message).toMatch(/answered 401.*HF_TOKEN/);
    expect((wrong as Error).message).not.toContain("hf_wrong");
    await expect(open("hf:org/model", { token: "secret" })).rejects.toThrow(/must start with hf_/);
    await expect(open("hf:org/model", { token: "secret" })).rejects.not.toThrow(/secret/);
  });

  it("says so when there is no such model or revision", async () => {
    await expect(open("hf:org/nothing@v2")).rejects.toThrow(/no model org\/nothing with the revision v2/);
    await expect(open("hf:org/nothing")).rejects.toThrow(NotAvailableError);
  });

  it("fetches a file again when the hub has another version", async () => {
    await content(await open("hf:org/model"), "config.json");
    (hub.repos["org/model"] as { files: Record<string, Uint8Array> }).files["config.json"] = text('{"a":2}');
    expect(await content(await open("hf:org/model"), "config.json")).toEqual(text('{"a":2}'));
  });

  it("refuses paths that lead out of the cache", async () => {
    hub.repos["org/evil"] = { files: { "../../x.safetensors": text("x") } };
    await expect(open("hf:org/evil")).rejects.toThrow(/a relative path/);
  });
});

describe("offline", () => {
  it("serves a complete cache, and names what an incomplete one lacks", async () => {
    await content(await open("hf:org/model"), "config.json");
    await hub.close();
    const files = await open("hf:org/model");
    expect(await content(files, "config.json")).toEqual(text('{"a":1}'));
    await expect(files.open("model.safetensors")).rejects.toThrow(/model.safetensors is not in the cache, and the hub cannot be reached/);
    await expect(open("hf:org/quants")).rejects.toThrow(/cannot be asked.*not in the cache/);
  });

  it("asks nobody under HF_HUB_OFFLINE", async () => {
    await content(await open("hf:org/model"), "config.json");
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    const before = hub.requests.length;
    expect(await content(await open("hf:org/model"), "config.json")).toEqual(text('{"a":1}'));
    await expect(open("hf:org/quants")).rejects.toThrow(/HF_HUB_OFFLINE/);
    expect(hub.requests.length).toBe(before);
  });

  it("works without the hub library when the cache is complete, and names the install command otherwise", async () => {
    await content(await open("hf:org/model"), "config.json");
    vi.doMock("@huggingface/hub", () => {
      throw new Error("not installed");
    });
    try {
      expect(await content(await open("hf:org/model"), "config.json")).toEqual(text('{"a":1}'));
      await expect(open("hf:org/quants")).rejects.toThrow(/npm install @huggingface\/hub/);
    } finally {
      vi.doUnmock("@huggingface/hub");
    }
  });
});

describe("broken downloads", () => {
  let download: Download;
  beforeEach(async () => {
    const { createHash } = await import("node:crypto");
    download = {
      url: `${hub.url}/org/model/resolve/main/model.safetensors`,
      path: join(cacheDir, "deep", "model.safetensors"),
      size: weights.length,
      hash: createHash("sha256").update(weights).digest("hex"),
      retryDelay: 1,
    };
  });

  const ranges = (): string[] => hub.requests.map((request) => request.split(" ").at(-1) ?? "");
  const result = async (): Promise<Uint8Array> => new Uint8Array(await readFile(download.path));

  it("continue at the byte where the connection was cut", async () => {
    hub.faults = { cutAfter: { bytes: 120_000, times: 2 } };
    const seen: number[] = [];
    await downloadFile({ ...download, onProgress: (loaded) => seen.push(loaded) });
    expectWeights(await result());
    const starts = ranges().map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]));
    expect(starts).toHaveLength(3);
    expect(starts[0]).toBe(0);
    // A slow client may have lost the last bytes before the cut.
    starts.slice(1).forEach((start, i) => {
      expect(start).toBeGreaterThan(starts[i] ?? NaN);
      expect(start).toBeLessThanOrEqual((starts[i] ?? NaN) + 120_000);
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it("may run twice at once", async () => {
    hub.faults = { cutAfter: { bytes: 120_000, times: 1 } };
    await Promise.all([downloadFile(download), downloadFile(download)]);
    expectWeights(await result());
    expect(await readdir(dirname(download.path))).toEqual(["model.safetensors"]);
  });

  it("start over when the server cannot continue", async () => {
    hub.faults = { cutAfter: { bytes: 120_000, times: 1 }, ignoreRange: true };
    await downloadFile(download);
    expectWeights(await result());
  });

  it("are given up after several attempts, keeping what came", async () => {
    hub.faults = { status: { code: 503, times: 100 } };
    await expect(downloadFile(download)).rejects.toThrow(/503 \(5 attempts\).*run the same again to continue/);
    hub.faults = { cutAfter: { bytes: 50_000, times: 1 }, status: { code: 503, times: 0 } };
    await downloadFile(download);
    expectWeights(await result());
  });

  it("do not hang on a silent server", async () => {
    hub.faults = { silent: true };
    await expect(downloadFile({ ...download, idleTimeout: 50 })).rejects.toThrow(/no byte came for 0.05 seconds/);
  });

  it("stop when aborted, and continue later", async () => {
    hub.faults = { cutAfter: { bytes: 100_000, times: 1 } };
    const abort = new AbortController();
    const stopped = downloadFile({
      ...download,
      retryDelay: 60_000,
      signal: abort.signal,
      onProgress: (loaded) => loaded === 100_000 && setTimeout(() => abort.abort(new Error("enough")), 60),
    });
    await expect(stopped).rejects.toThrow("enough");
    expect((await stat(partPath(download))).size).toBe(100_000);
    hub.faults = {};
    await downloadFile(download);
    expectWeights(await result());
    expect(ranges().at(-1)).toBe("bytes=100000-");
  });

  it("survive the death of the process", async () => {
    hub.faults = { cutAfter: { bytes: 200_000, times: 1 } };
    const script = `
      import { open, mkdir } from "node:fs/promises";
      await mkdir(${JSON.stringify(dirname(download.path))}, { recursive: true });
      const file = await open(${JSON.stringify(partPath(download))}, "w");
      const { body } = await fetch(${JSON.stringify(download.url)});
      let at = 0;
      for await (const chunk of body) { await file.write(chunk, 0, chunk.length, at); at += chunk.length; if (at > 50_000) process.kill(process.pid, "SIGKILL"); }
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" });
    const signal = await new Promise((resolve) => child.on("exit", (_, name) => resolve(name)));
    expect(signal).toBe("SIGKILL");
    const { size } = await stat(partPath(download));
    expect(size).toBeGreaterThan(50_000);
    hub.faults = {};
    await downloadFile(download);
    expectWeights(await result());
    expect(ranges().at(-1)).toBe(`bytes=${size}-`);
  });

  it("refuse a file of another size", async () => {
    hub.faults = { wrongSize: true };
    await expect(downloadFile(download)).rejects.toThrow(/300000 bytes were announced, but the server sends bytes 0-300000\/300001/);
    expect(existsSync(download.path)).toBe(false);
  });

  it("refuse other content, and keep none of it", async () => {
    hub.faults = { wrongContent: true };
    await expect(downloadFile(download)).rejects.toThrow(FormatError);
    expect(await readdir(dirname(download.path))).toEqual([]);
  });

  it("refuse a part of an older attempt that is not of this file", async () => {
    await mkdir(dirname(download.path), { recursive: true });
    await writeFile(partPath(download), new Uint8Array(1000));
    await expect(downloadFile(download)).rejects.toThrow(/the content has the hash/);
    await downloadFile(download);
    expectWeights(await result());
  });

  it("say so when access ends", async () => {
    hub.faults = { status: { code: 403, times: 1 } };
    await expect(downloadFile(download)).rejects.toThrow(/answered 403.*accept the model's terms/);
  });

  it("refuse what cannot fit before the first byte", async () => {
    const huge = { ...download, size: 2 ** 52 };
    await expect(downloadFile(huge)).rejects.toThrow(/The disk is full:.*4096 TiB are still to come, and .* is free.*cacheDir or INFLLM_CACHE/);
    expect(hub.requests).toEqual([]);
  });

  // /dev/full is a Linux device that answers every write with "no space left".
  it.skipIf(process.platform !== "linux")("say so when the disk fills up on the way (needs Linux's /dev/full)", async () => {
    await mkdir(dirname(download.path), { recursive: true });
    await symlink("/dev/full", partPath(download));
    await expect(downloadFile(download)).rejects.toThrow(/The disk is full:.*still to come/);
  });

  it("say so when the cache cannot be written to", async () => {
    await writeFile(join(cacheDir, "file"), "");
    await expect(downloadFile({ ...download, path: join(cacheDir, "file", "x") })).rejects.toThrow(/cannot be written to.*INFLLM_CACHE/);
    await expect(open("hf:org/model", { cacheDir: join(cacheDir, "file") })).rejects.toThrow(/cannot be written to/);
  });
});
