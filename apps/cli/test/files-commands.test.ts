/** The commands that fetch and write model files. */
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { infllm, type Outcome } from "./harness.ts";

let folder = "";
let server: Server;
let url = "";

const weights = new Uint8Array(300_000).map((_, index) => index % 251);
const files: Readonly<Record<string, Uint8Array>> = {
  "config.json": new TextEncoder().encode('{"architectures":["LlamaForCausalLM"]}'),
  "tokenizer.json": new TextEncoder().encode("{}"),
  "model.safetensors": weights,
  "README.md": new TextEncoder().encode("# not needed"),
};

/** How many bytes of the weights the server sends before it hangs up; all when undefined. */
let cutAfter: number | undefined;
/** Called when it has hung up. */
let onCut = (): void => {};
const ranges: (string | undefined)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infllm-files-"));
  server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://hub").pathname;
    const tree = path.startsWith("/api/models/org/model/tree/");
    const file = files[/^\/org\/model\/resolve\/main\/(.+)$/u.exec(path)?.[1] ?? ""];
    if (tree) {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(Object.entries(files).map(([name, data]) => listed(name, data))));
    } else if (file) {
      if (file === weights) ranges.push(request.headers.range);
      const from = Number(/^bytes=(\d+)-/u.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(206, {
        "content-range": `bytes ${from}-${file.length - 1}/${file.length}`,
        "content-length": file.length - from,
      });
      const hangUp = (): void => {
        response.destroy();
        onCut();
      };
      if (file === weights && cutAfter !== undefined) {
        response.write(file.subarray(from, from + cutAfter), () => setTimeout(hangUp, 50));
      } else response.end(file.subarray(from));
    } else {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":"Repository not found"}');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
});

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

function listed(path: string, data: Uint8Array): object {
  const oid = createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");
  return { type: "file", path, size: data.length, oid };
}

const pull = (name: string, ...args: string[]): Promise<Outcome> =>
  infllm(["pull", name, "--cache-dir", join(folder, "cache"), ...args], { env: { HF_ENDPOINT: url } });

describe("infllm pull", () => {
  it("stops on Ctrl-C, keeps what came, and goes on from there", async () => {
    cutAfter = 100_000;
    const outcome = await infllm(["pull", "hf:org/model", "--cache-dir", join(folder, "cache")], {
      env: { HF_ENDPOINT: url },
      onStart: (press) => {
        onCut = press;
      },
    });
    expect(outcome).toEqual({ code: 130, stdout: "", stderr: "Stopped.\n" });
    cutAfter = undefined;
    ranges.length = 0;

    const { code, stdout, stderr } = await pull("hf:org/model", "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const pulled = JSON.parse(stdout);
    expect(pulled.files).toEqual(expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json"]));
    expect(pulled.files).not.toContain("README.md");
    expect(ranges[0]).toMatch(/^bytes=[1-9]\d+-$/u);
    expect(new Uint8Array(await readFile(join(pulled.folder, "model.safetensors")))).toEqual(weights);
  });

  it("fetches nothing twice", async () => {
    ranges.length = 0;
    const { code, stdout } = await pull("hf:org/model");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d files, 29\d KiB, in .*cache/u);
    expect(ranges).toEqual([]);
  });

  it.each<[string, number, string]>([
    ["org/model", 2, "Write hf:org/model."],
    ["./folder", 2, "need no download"],
    ["hf:model", 2, "is no hub name"],
    ["hf:org/other", 1, "404"],
  ])("refuses %s", async (name, exitCode, message) => {
    const { code, stdout, stderr } = await pull(name);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
  });

  it("says when the hub cannot be reached", async () => {
    const { code, stderr } = await infllm(["pull", "hf:org/model", "--cache-dir", join(folder, "empty")], {
      env: { HF_ENDPOINT: "http://127.0.0.1:9" },
    });
    expect(code).toBe(1);
    expect(stderr).toContain("Check the connection");
  });
});

describe("infllm convert", () => {
  it("writes a GGUF file that answers", async () => {
    const out = join(folder, "tiny.gguf");
    const { code, stdout, stderr } = await infllm(["convert", "embedded", "--to", "gguf", "--dtype", "q8_0", "--out", out, "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ to: "gguf", dtype: "q8_0", files: [out] });
    const prompt = "The pass key is 12345. Remember it. 12345 is the pass key.\n\nWhat is the pass key?";
    expect((await infllm(["generate", "--model", out, "--prompt", prompt])).stdout).toBe("The pass key is 12345.\n");
  });

  it("writes a folder that can be inspected", async () => {
    const out = join(folder, "tiny");
    const { code, stdout } = await infllm(["convert", "embedded", "--to", "safetensors", "--dtype", "f16", "--out", out]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Wrote .*tiny, 19\.\d MiB\.\n$/u);
    expect(await readdir(out)).toContain("tokenizer.json");
    expect((await infllm(["inspect", out])).stdout).toContain("f16");
  });

  it("refuses what cannot be", async () => {
    const broken = join(folder, "broken.gguf");
    await writeFile(broken, "GGUF, or so it says");
    const occupied = join(folder, "file");
    await writeFile(occupied, "");
    const to = ["--to", "gguf", "--out"];
    const cases: [string[], number, string][] = [
      [["embedded", ...to, join(folder, "x"), "--dtype", "q9"], 2, "Allowed choices are f32"],
      [["embedded", "--to", "onnx", "--out", "x"], 2, "Allowed choices are gguf, safetensors"],
      [["embedded", "--to", "gguf"], 2, "--out"],
      [[...to, "x"], 2, "missing required argument 'model'"],
      [[broken, ...to, join(folder, "y")], 1, "broken.gguf"],
      [[join(folder, "absent"), ...to, join(folder, "y")], 1, "absent"],
      [["embedded", ...to, join(occupied, "x.gguf")], 1, "cannot be written"],
    ];
    for (const [args, exitCode, message] of cases) {
      const { code, stdout, stderr } = await infllm(["convert", ...args]);
      expect(stderr).toContain(message);
      expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
    }
  });
});
