import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, FormatError, NotAvailableError, UnsupportedError } from "@infllm/tensor";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { startHub } from "../../test/formats/hub-server.ts";
import type { HubServer } from "../../test/formats/hub-server.ts";
import { httpSource } from "./http-source.ts";
import { openModelFiles } from "./model-files.ts";
import { fileSource } from "./node-files.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-files-"));
  for (const name of ["config.json", "model.safetensors", "other.safetensors", "m.gguf", "notes.txt"]) {
    await writeFile(join(folder, name), `content of ${name}`);
  }
  await mkdir(join(folder, "sub"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("files on disk", () => {
  it("are read by range", async () => {
    const source = await fileSource(join(folder, "config.json"));
    expect(source.size).toBe(22);
    expect(new TextDecoder().decode(await source.read(11, 17))).toBe("config");
    expect(await source.read(22, 22)).toHaveLength(0);
    await expect(source.read(20, 23)).rejects.toThrow(FormatError);
    await expect(source.read(-1, 2)).rejects.toThrow(FormatError);
    await source.close();
    await source.close();
  });

  it("are read into memory of the caller's where it is large enough, several ranges at once", async () => {
    const source = await fileSource(join(folder, "config.json"));
    const memory = new Uint8Array(10).fill(9);
    const [small, large, behind] = await Promise.all([
      source.read(11, 17, memory.subarray(2)),
      source.read(0, 22, new Uint8Array(21)),
      source.read(17, 22, new Uint8Array(5)),
    ]);
    expect(small.buffer).toBe(memory.buffer);
    expect(new TextDecoder().decode(memory.subarray(2, 8))).toBe("config");
    expect([...memory.subarray(0, 2), ...memory.subarray(8)]).toEqual([9, 9, 9, 9]);
    expect(new TextDecoder().decode(large)).toBe("content of config.json");
    expect(new TextDecoder().decode(behind)).toBe(".json");
    await source.close();
  });

  it("are refused with the reason", async () => {
    await expect(fileSource(join(folder, "nothing"))).rejects.toThrow(/nothing does not exist/);
    await expect(fileSource(join(folder, "sub"))).rejects.toThrow(NotAvailableError);
    await expect(fileSource(join(folder, "config.json", "x"))).rejects.toThrow(/a part of the path is a file/);
  });

  it.skipIf(process.platform === "win32")("are regular files: a pipe is refused, not waited for (Windows has no mkfifo)", async () => {
    const pipe = join(folder, "pipe.gguf");
    execFileSync("mkfifo", [pipe]);
    await expect(openModelFiles(pipe)).rejects.toThrow(/pipe.gguf is no regular file/);
  });

  it("say so when they shrink while open", async () => {
    const source = await fileSource(join(folder, "config.json"));
    await truncate(join(folder, "config.json"), 5);
    await expect(source.read(0, 22)).rejects.toThrow(/ended at byte 5; it had 22 when opened/);
    await source.close();
  });
});

describe("opening a model", () => {
  it("in a folder lists its files, and opens no others", async () => {
    await symlink(join(folder, "config.json"), join(folder, "linked.json"));
    const files = await openModelFiles(folder);
    expect(await files.list()).toEqual(["config.json", "linked.json", "m.gguf", "model.safetensors", "notes.txt", "other.safetensors"]);
    const source = await files.open("linked.json");
    expect(source.size).toBe(22);
    await source.close();
    await expect(files.open("../x")).rejects.toThrow(/has no file "..\/x"; it holds config.json/);
  });

  it("in a safetensors file takes its folder along, but no other weights", async () => {
    const files = await openModelFiles(join(folder, "other.safetensors"));
    expect(await files.list()).toEqual(["other.safetensors", "config.json", "notes.txt"]);
  });

  it("in a GGUF file is that file alone", async () => {
    const files = await openModelFiles(join(folder, "m.gguf"));
    expect(await files.list()).toEqual(["m.gguf"]);
  });

  it("that is embedded reads the package", async () => {
    const files = await openModelFiles("embedded");
    expect(await files.list()).toContain("config.json");
    const source = await files.open("config.json");
    expect(JSON.parse(new TextDecoder().decode(await source.read(0, source.size)))).toHaveProperty("model_type");
    await expect(source.read(0, source.size + 1)).rejects.toThrow(FormatError);
    await expect(files.open("package.json")).rejects.toThrow(NotAvailableError);
  });

  it("that is embedded has its short-trained form under another name", async () => {
    const [long, short] = [await openModelFiles("embedded"), await openModelFiles("embedded-short")];
    expect(await short.list()).toEqual(await long.list());
    const head = async (files: typeof long) => (await files.open("model.safetensors")).read(4096, 8192);
    expect(await head(short)).not.toEqual(await head(long));
  });

  it("that is embedded names the package when it is missing", async () => {
    vi.doMock("@infllm/tiny-model", () => {
      throw new Error("not installed");
    });
    try {
      await expect(openModelFiles("embedded")).rejects.toThrow(/npm install @infllm\/tiny-model/);
    } finally {
      vi.doUnmock("@infllm/tiny-model");
    }
  });

  it("refuses what is no model", async () => {
    await expect(openModelFiles("")).rejects.toThrow(ConfigError);
    await expect(openModelFiles(join(folder, "notes.txt"))).rejects.toThrow(UnsupportedError);
    await expect(openModelFiles("org/name")).rejects.toThrow(/write hf:org\/name/);
    await expect(openModelFiles("https://example.org/folder")).rejects.toThrow(UnsupportedError);
  });
});

describe("files on web servers", () => {
  let hub: HubServer;
  let url: string;
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
  beforeEach(async () => {
    hub = await startHub({ "o/m": { files: { "x.gguf": bytes, "big.gguf": new Uint8Array(65 << 20) } } });
    url = `${hub.url}/o/m/resolve/main/x.gguf`;
  });
  afterEach(() => hub.close());

  it("are read by range", async () => {
    const files = await openModelFiles(url);
    const source = await files.open("x.gguf");
    expect(source.size).toBe(1000);
    expect(await source.read(10, 13)).toEqual(bytes.subarray(10, 13));
    expect(await source.read(1000, 1000)).toHaveLength(0);
    expect(hub.requests.map((request) => request.split(" ").at(-1))).toEqual(["bytes=0-0", "bytes=10-12"]);
    await expect(source.read(0, 1001)).rejects.toThrow(FormatError);
  });

  it("are read whole where ranges are ignored and the file is small", async () => {
    hub.faults = { ignoreRange: true };
    const source = await httpSource(url);
    expect(await source.read(10, 13)).toEqual(bytes.subarray(10, 13));
    expect(hub.requests).toHaveLength(1);
    await expect(httpSource(`${hub.url}/o/m/resolve/main/big.gguf`)).rejects.toThrow(/ignores ranges.*Download the file/);
  });

  it("are read from servers that answer a request for the first byte with all of them", async () => {
    const sloppy: typeof fetch = async (_, init) => {
      const [, from = "0", to = "0"] = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
      const end = to === "0" ? 999 : Number(to);
      const headers = { "Content-Range": `bytes ${from}-${end}/1000` };
      return new Response(bytes.slice(Number(from), end + 1), { status: 206, headers });
    };
    const source = await httpSource("https://example.org/x.gguf", { fetch: sloppy });
    expect(source.size).toBe(1000);
    expect(await source.read(10, 13)).toEqual(bytes.subarray(10, 13));
  });

  it("are refused when they change under way, are missing or out of reach", async () => {
    const source = await httpSource(url);
    hub.faults = { wrongSize: true };
    await expect(source.read(0, 5)).rejects.toThrow(/changed on the server/);
    hub.faults = { ignoreRange: true };
    await expect(source.read(0, 5)).rejects.toThrow(/the server sent 200 with nothing/);
    await expect(httpSource(`${hub.url}/o/m/resolve/main/no.gguf`)).rejects.toThrow(/answered 404/);
    await hub.close();
    await expect(source.read(0, 5)).rejects.toThrow(/cannot be reached \(fetch failed: /);
  });

  it("stop when aborted", async () => {
    await expect(httpSource(url, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});
