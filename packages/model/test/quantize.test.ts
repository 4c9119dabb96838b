import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuBackend, referenceBackend } from "@infllm/backend-cpu";
import { fromF32, toF32 } from "@infllm/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertModel, inspectModel, loadModel, quantizeModel } from "../src/index.ts";
import type { QuantizeProgress } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { packable, packedFiles, packedModel } from "./support/packed-model.ts";
import { plainLogits } from "./support/plain-forward.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";
import type { RandomModel } from "./support/random-model.ts";

const ids = Array.from({ length: 30 }, (_, i) => 4 + ((i * 53) % 250));
const text = Array.from({ length: 900 }, (_, i) => String.fromCharCode(97 + ((i * i) % 26))).join("");

/** The model whose linear layers went through q4_g128 and back, and the rest through f16. */
function rounded({ config, tensors }: RandomModel): RandomModel {
  const through = [...tensors].map(([name, { shape, values }]) => {
    const dtype = name.endsWith("_proj.weight") ? "q4_g128" : "f16";
    return [name, { shape, values: toF32(dtype, fromF32(dtype, toF32("f16", fromF32("f16", values), values.length)), values.length) }] as const;
  });
  return { config, tensors: new Map(through) };
}

describe("quantizeModel", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "infllm-quantize-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  for (const type of ["llama", "qwen2", "qwen3", "minicpm"]) {
    it(`${type}: computes with the numbers that rounding to nearest gives`, async () => {
      const packed = await packedModel(type);
      const expected = plainLogits(rounded(packed.original), ids, 64).at(-1) ?? [];
      for (const backend of [referenceBackend(), await cpuBackend({ threads: 1 })]) {
        const model = await loadModel(packedFiles(packed), { backend, contextLength: 64 });
        await collect(model, ids, { maxTokens: 1 });
        const logits = await model.lastLogits();
        const largest = Math.max(...expected.map(Math.abs));
        expected.forEach((value, i) => expect(Math.abs(value - (logits[i] ?? NaN))).toBeLessThan(1e-5 * largest));
        await model.close();
        await backend.close();
      }
    });
  }

  it("runs on a backend without the type: the same quants as q4_1", async () => {
    const packed = packedFiles(await packedModel());
    const reference = referenceBackend();
    const without = { ...reference, capabilities: { ...reference.capabilities, weights: ["bf16", "f16", "q8_0", "q4_1"] as const } };
    const logits = async (backend: typeof reference): Promise<Float32Array> => {
      const model = await loadModel(packed, { backend, contextLength: 64 });
      await collect(model, ids, { maxTokens: 1 });
      const result = await model.lastLogits();
      await model.close();
      return result;
    };
    const description = await inspectModel(packed);
    const [own, substituted] = [description.memoryAt(64, reference).weights, description.memoryAt(64, without).weights];
    // 5 bits for 4.25 in the layers; embeddings and output matrix are f16 in both.
    expect(substituted).toBeGreaterThan(own);
    expect(substituted).toBeLessThan(1.15 * own);
    const [exact, near] = [await logits(reference), await logits(without)];
    const largest = Math.max(...exact.map(Math.abs));
    // A zero point times a scale is off by up to 1/128 of a step, a weight's own rounding by half a step.
    exact.forEach((value, i) => expect(Math.abs(value - (near[i] ?? NaN))).toBeLessThan(0.01 * largest));
  });

  it("says what it holds, in its config and to inspectModel", async () => {
    const packed = await packedModel();
    expect(packed.config).toMatchObject({ quantization_config: { quant_method: "gptq", bits: 4, group_size: 128, desc_act: false } });
    const description = await inspectModel(packedFiles(packed));
    expect(description).toMatchObject({ quantisation: "GPTQ, 4 bits, groups of 128", storedAs: { f16: expect.any(Number), q4_g128: expect.any(Number) } });
    const names = [...packed.tensors.keys()].filter((name) => name.startsWith("model.layers.0.mlp.up_proj."));
    expect(names.sort()).toEqual(["g_idx", "qweight", "qzeros", "scales"].map((part) => `model.layers.0.mlp.up_proj.${part}`));
  });

  it("reads each packed matrix once, whatever the pieces it is asked for", async () => {
    const files = packedFiles(await packedModel());
    const reads: number[] = [];
    const counting = {
      ...files,
      open: async (path: string) => {
        const source = await files.open(path);
        return { ...source, read: (from: number, to: number) => (path.endsWith(".safetensors") && reads.push(to - from), source.read(from, to)) };
      },
    };
    const stages: number[] = [];
    const model = await loadModel(counting, { backend: referenceBackend(), contextLength: 64, onProgress: ({ done, total }) => stages.push(done / total) });
    const stored = (await files.open("model.safetensors")).size;
    // The header is read to list the tensors; after that, every byte once.
    expect(reads.reduce((a, b) => a + b)).toBeLessThan(stored * 1.01 + 8192);
    expect(stages.at(-1)).toBe(1);
    expect(stages).toEqual([...stages].sort((a, b) => a - b));
    await model.close();
  });

  it("gptq: another rounding, closer to the model on the text it read", async () => {
    const original = randomModel("llama", packable);
    const files = hfFiles(original, { dtype: "f16" });
    const backend = await cpuBackend({ threads: 1 });
    const seen: QuantizeProgress[] = [];
    const [nearest, adapted] = [join(folder, "rtn"), join(folder, "gptq")];
    await quantizeModel(files, { out: nearest });
    await quantizeModel(files, { out: adapted, method: "gptq", calibration: { backend, text, tokens: 600 }, onProgress: (state) => seen.push(state) });
    const distance = async (source: string): Promise<number> => {
      const [given, model] = [await loadModel(files, { backend, contextLength: 1024 }), await loadModel(source, { backend, contextLength: 1024 })];
      const own = given.tokenizer.encode(text).slice(0, 300);
      let sum = 0;
      const others = model.scoreRows(own);
      for await (const rows of given.scoreRows(own)) {
        const other = await others.next();
        if (other.done) throw new Error("fewer rows");
        rows.logits.forEach((value, i) => (sum += (value - (other.value.logits[i] ?? NaN)) ** 2));
      }
      await Promise.all([given.close(), model.close()]);
      return sum;
    };
    expect(await distance(adapted)).toBeLessThan(0.8 * (await distance(nearest)));
    expect(new Set(seen.map(({ stage }) => stage))).toEqual(new Set(["weights", "calibration", "rounding"]));
    expect(seen.at(-1)).toMatchObject({ stage: "rounding", done: 14, total: 14 });
    await backend.close();
  });

  it("goes on to GGUF, its quants kept", async () => {
    const packed = packedFiles(await packedModel("qwen2"));
    const out = join(folder, "packed.gguf");
    await convertModel(packed, { to: "gguf", out });
    expect((await inspectModel(out)).storedAs).toMatchObject({ q4_1: expect.any(Number) });
    await expect(convertModel(packed, { to: "safetensors", out: join(folder, "no") })).rejects.toThrow(/q4_g128, which safetensors cannot hold/);
    await convertModel(packed, { to: "safetensors", dtype: "bf16", out: join(folder, "bf16") });
    expect(JSON.parse(await readFile(join(folder, "bf16", "config.json"), "utf8"))).not.toHaveProperty("quantization_config");
  });

  it("takes a GGUF file in 8 bits, whose embeddings become f16", async () => {
    const [gguf, out] = [join(folder, "model-q8_0.gguf"), join(folder, "from-gguf")];
    await convertModel(hfFiles(randomModel("qwen3", packable)), { to: "gguf", dtype: "q8_0", out: gguf });
    await quantizeModel(gguf, { out });
    expect((await inspectModel(out)).storedAs).toMatchObject({ f16: expect.any(Number), q4_g128: expect.any(Number) });
    const logits = async (source: string): Promise<Float32Array> => {
      const model = await loadModel(source, { backend: referenceBackend(), contextLength: 64 });
      await collect(model, ids, { maxTokens: 1 });
      const result = await model.lastLogits();
      await model.close();
      return result;
    };
    // Of the two roundings, that to 4 bits dominates: the logits stay near those of 8 bits.
    const [given, rounded] = [await logits(gguf), await logits(out)];
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);
    expect(dot(given, rounded) / Math.sqrt(dot(given, given) * dot(rounded, rounded))).toBeGreaterThan(0.9);
  });

  it("refuses what it cannot do, before anything is written", async () => {
    const out = join(folder, "refused");
    const files = hfFiles(randomModel("llama", packable));
    await expect(quantizeModel(hfFiles(randomModel("llama")), { out })).rejects.toThrow(/q_proj.weight is \[64, 32\]; groups of 128 need columns/);
    await expect(quantizeModel(packedFiles(await packedModel()), { out })).rejects.toThrow(/packed already \(GPTQ, 4 bits, groups of 128\)/);
    await expect(quantizeModel(files, { out, method: "gptq" })).rejects.toThrow(/needs calibration/);
    const { host: _, ...blind } = await cpuBackend({ threads: 1 });
    await expect(quantizeModel(files, { out, method: "gptq", calibration: { backend: blind, text } })).rejects.toThrow(/cannot offer. Use the cpu backend/);
    await expect(quantizeModel(files, { out, method: "gptq", calibration: { backend: await cpuBackend({ threads: 1 }), text: "short" } })).rejects.toThrow(
      /calibration text has \d+ tokens; at least 128/,
    );
    await expect(quantizeModel(files, { out: "" })).rejects.toThrow(/out is empty/);
  });
});
