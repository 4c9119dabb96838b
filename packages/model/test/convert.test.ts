import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceBackend } from "@infllm/backend-cpu";
import { bytesSource } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertModel, inspectModel, loadModel, openGguf } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";
import type { FileOptions } from "./support/random-model.ts";

const sparse_config = { kernel_size: 8, kernel_stride: 4, block_size: 16, init_blocks: 1, window_size: 16, topk: 3, dense_len: 80, lse: "exact" };
const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
const ids = Array.from({ length: 90 }, (_, i) => 4 + ((i * 37) % 250));

async function logits(source: Parameters<typeof loadModel>[0]): Promise<Float32Array> {
  const model = await loadModel(source, { backend: referenceBackend(), contextLength: 100 });
  await collect(model, ids, { maxTokens: 1 });
  const result = await model.lastLogits();
  await model.close();
  return result;
}

describe("convertModel", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "infllm-convert-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const cases: readonly [name: string, type: string, changes: Record<string, unknown>, files?: FileOptions][] = [
    ["Llama with sparse attention and biases", "llama", { sparse_config, attention_bias: true }],
    ["Llama 3 scaling, tied, bf16", "llama", { rope_scaling: llama3, tie_word_embeddings: true }, { dtype: "bf16" }],
    ["Qwen2", "qwen2", {}],
    ["Qwen3", "qwen3", { rope_scaling: { rope_type: "yarn", factor: 2, original_max_position_embeddings: 256 } }],
    ["MiniCPM", "minicpm", {}],
  ];
  for (const [name, type, changes, options] of cases) {
    it(`${name}: to GGUF and back, the same logits`, async () => {
      const files = hfFiles(randomModel(type, changes), options);
      const gguf = join(folder, `${type}.gguf`);
      const back = join(folder, `${type}-back`);
      await convertModel(files, { to: "gguf", out: gguf });
      await convertModel(gguf, { to: "safetensors", out: back });
      const expected = await logits(files);
      const largest = Math.max(...expected.map(Math.abs));
      for (const source of [gguf, back]) {
        const given = await logits(source);
        // GGUF keeps settings such as epsilon and theta in f32.
        for (const [i, value] of expected.entries()) expect(Math.abs(value - (given[i] ?? NaN))).toBeLessThan(1e-5 * largest);
      }
      const [first, last] = await Promise.all([inspectModel(files), inspectModel(back)]);
      expect(last.sparse).toEqual(first.sparse);
      expect(last.storedAs).toMatchObject(options?.dtype === undefined ? first.storedAs : {});
    });
  }

  it("writes the types asked for, norms as f32", async () => {
    for (const dtype of ["f16", "bf16", "f32", "q8_0", "q4_0"] as const) {
      const out = join(folder, `types-${dtype}.gguf`);
      const model = randomModel("llama", { intermediate_size: 64 });
      const seen: number[] = [];
      const { bytes } = await convertModel(hfFiles(model), { to: "gguf", dtype, out, onProgress: ({ done, total }) => seen.push(done / total) });
      const gguf = await openGguf(bytesSource(new Uint8Array(await readFile(out)), out));
      expect(gguf.tensors.get("blk.1.ffn_down.weight")?.dtype).toBe(dtype);
      expect(gguf.tensors.get("blk.1.ffn_norm.weight")?.dtype).toBe("f32");
      expect(bytes).toBe((await readFile(out)).length);
      expect(seen.at(-1)).toBe(1);
      const model2 = await loadModel(out, { backend: referenceBackend(), contextLength: 64 });
      expect(model2.promptIds([{ role: "user", content: "é 12" }])).toEqual(
        (await loadModel(hfFiles(model), { backend: referenceBackend(), contextLength: 64 })).promptIds([{ role: "user", content: "é 12" }]),
      );
    }
  });

  it("refuses what the target cannot hold, and leaves nothing behind", async () => {
    const files = () => hfFiles(randomModel("llama"));
    const out = join(folder, "refused");
    await expect(convertModel(files(), { to: "safetensors", dtype: "q8_0", out })).rejects.toThrow(/48 numbers|safetensors cannot hold/);
    await expect(convertModel(files(), { to: "gguf", dtype: "q8_0", out })).rejects.toThrow(/down_proj.*rows of 48.*q8_0/);
    const dynamic = hfFiles(randomModel("llama", { rope_scaling: { rope_type: "dynamic", factor: 2 } }));
    await expect(convertModel(dynamic, { to: "gguf", out })).rejects.toThrow(/dynamic NTK/);
    await expect(convertModel(files(), { to: "onnx" as never, out })).rejects.toThrow(/"onnx".*"gguf" or "safetensors"/);
    await expect(convertModel(files(), { to: "gguf", dtype: "int8" as never, out })).rejects.toThrow(/"int8".*f32, f16/);
    expect((await readdir(folder)).filter((name) => name.startsWith("refused") && name !== "refused")).toEqual([]);
  });

  it("says when the output cannot be written", async () => {
    const file = join(folder, "a-file");
    await writeFile(file, "x");
    await expect(convertModel(hfFiles(randomModel("llama")), { to: "gguf", out: join(file, "model.gguf") })).rejects.toThrow(/cannot be written/);
    await expect(convertModel(hfFiles(randomModel("llama")), { to: "gguf", out: folder })).rejects.toThrow(/is no regular file/);
  });
});
