import { referenceBackend } from "@infllm/backend-cpu";
import { FormatError, NotAvailableError, OutOfMemoryError, UnsupportedError, fromF32 } from "@infllm/tensor";
import type { HostTensor } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { inspectModel, loadModel } from "../src/index.ts";
import type { LoadOptions } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";
import type { FileOptions, RandomModel } from "./support/random-model.ts";

const small = randomModel("llama");
const qProj = "model.layers.0.self_attn.q_proj.weight";

function tensor(shape: readonly number[], change: (values: Float32Array) => void = () => {}, dtype: "f32" | "f16" | "bf16" = "f32"): HostTensor {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1);
  change(values);
  return { dtype, shape, data: fromF32(dtype, values) };
}

function load(model: RandomModel, files: FileOptions = {}, options: Partial<LoadOptions> = {}) {
  return loadModel(hfFiles(model, files), { backend: referenceBackend(), contextLength: 64, ...options });
}

describe("models that cannot be loaded say why", () => {
  it("weights of another shape: both shapes", async () => {
    const loading = load(small, { tensors: { [qProj]: tensor([64, 16]) } });
    await expect(loading).rejects.toThrow(/layers.0.self_attn.q_proj.weight is \[64, 16\], the config says \[64, 32\]/);
    await expect(loading).rejects.toThrow(FormatError);
  });

  it("missing and unexpected tensors: their names", async () => {
    await expect(load(small, { tensors: { [qProj]: undefined } })).rejects.toThrow(/missing: model.layers.0.self_attn.q_proj.weight/);
    const extra = { "model.layers.0.self_attn.q_proj.bias": tensor([64]) };
    await expect(load(small, { tensors: extra })).rejects.toThrow(/unexpected: model.layers.0.self_attn.q_proj.bias/);
    const shallow = { ...small, config: { ...small.config, num_hidden_layers: 1 } };
    await expect(load(shallow)).rejects.toThrow(/unexpected: model.layers.1/);
    const deep = { ...small, config: { ...small.config, num_hidden_layers: 2 ** 31 - 1 } };
    await expect(load(deep)).rejects.toThrow(/2147483647 layers, but there are 21 tensors/);
    const untied = { ...small, config: { ...small.config, tie_word_embeddings: false } };
    await expect(load(untied, { tensors: { "lm_head.weight": undefined } })).rejects.toThrow(/missing: lm_head.weight/);
  });

  it("tied embeddings beside an output matrix that differs", async () => {
    const tied = { ...small, config: { ...small.config, tie_word_embeddings: true } };
    await expect(load(tied)).rejects.toThrow(/tied, but lm_head.weight differs/);
    const { shape, values } = small.tensors.get("model.embed_tokens.weight") ?? { shape: [], values: new Float32Array() };
    const copied = (dtype: "f32" | "bf16", change = 0) => {
      const data = fromF32(dtype, values);
      data[data.length - 1] = (data.at(-1) ?? 0) ^ change;
      return { dtype, shape, data };
    };
    await (await load(tied, { tensors: { "lm_head.weight": copied("f32") } })).close();
    await expect(load(tied, { tensors: { "lm_head.weight": copied("f32", 1) } })).rejects.toThrow(/tied, but lm_head.weight differs/);
    await expect(load(tied, { tensors: { "lm_head.weight": copied("bf16") } })).rejects.toThrow(/tied, but lm_head.weight differs/);
  });

  it("tied embeddings beside an output matrix whose very last byte differs, where 16-bit numbers leave half a word", async () => {
    const odd = randomModel("llama", { vocab_size: 261, hidden_size: 33, head_dim: 16, tie_word_embeddings: true });
    const table = odd.tensors.get("model.embed_tokens.weight") ?? { shape: [], values: new Float32Array() };
    for (const change of [0, 1]) {
      const data = fromF32("bf16", table.values);
      data[data.length - 1] = (data.at(-1) ?? 0) ^ change;
      const loading = load(odd, { dtype: "bf16", tensors: { "lm_head.weight": { dtype: "bf16", shape: table.shape, data } } });
      if (change === 0) await (await loading).close();
      else await expect(loading).rejects.toThrow(/tied, but lm_head.weight differs/);
    }
  });

  for (const dtype of ["f32", "f16", "bf16"] as const) {
    for (const bad of [NaN, Infinity]) {
      it(`${bad} in a ${dtype} weight: the tensor, row and column`, async () => {
        const damaged = tensor([64, 32], (values) => (values[5 * 32 + 7] = bad), dtype);
        await expect(load(small, { tensors: { [qProj]: damaged } })).rejects.toThrow(/q_proj.weight holds NaN.*row 5, column 7/);
      });
    }
  }

  it("numbers that the wanted type cannot hold", async () => {
    const large = tensor([64, 32], (values) => (values[3] = 1e6));
    await expect(load(small, { tensors: { [qProj]: large } }, { weights: "f16" })).rejects.toThrow(/q_proj.*beyond the range of f16/);
  });

  it("a type that the backend or the shape does not allow", async () => {
    await expect(load(small, {}, { weights: "q4_k" })).rejects.toThrow(/q4_k.*allows stored, /);
    const narrow = randomModel("llama", { intermediate_size: 40 });
    await expect(load(narrow, {}, { weights: "q8_0" })).rejects.toThrow(/down_proj.*40 columns.*q8_0/);
  });

  it("a missing tokenizer: the files looked for", async () => {
    const loading = load(small, { without: ["tokenizer.json"], files: { "tokenizer.model": "x" } });
    await expect(loading).rejects.toThrow(/no tokenizer.json.*tokenizer.model cannot be used alone/);
    await expect(loading).rejects.toThrow(NotAvailableError);
  });

  it("a tokenizer of a larger model", async () => {
    await expect(load(randomModel("llama", { vocab_size: 200 }))).rejects.toThrow(/ids up to 259.*200 embeddings/);
  });

  it("a missing or broken config", async () => {
    await expect(load(small, { without: ["config.json"] })).rejects.toThrow(/no config.json/);
    await expect(load(small, { files: { "config.json": "{ half" } })).rejects.toThrow(/config.json of memory is no valid JSON/);
    await expect(load(small, { files: { "config.json": "[1]" } })).rejects.toThrow(/a JSON object is needed/);
  });

  it("too little memory: needed and available, before any weight is read", async () => {
    const backend = referenceBackend({ memoryLimit: 500_000 });
    const files = hfFiles(small);
    let read = 0;
    const counted = {
      ...files,
      open: async (path: string) => {
        const source = await files.open(path);
        return { ...source, read: (from: number, to: number) => ((read += path.endsWith("safetensors") ? to - from : 0), source.read(from, to)) };
      },
    };
    const loading = loadModel(counted, { backend, contextLength: 100_000 });
    await expect(loading).rejects.toThrow(OutOfMemoryError);
    await expect(loading).rejects.toThrow(/context of 100000 tokens.*needs .*MiB, but 488 KiB is available/);
    expect(read).toBeLessThan(20_000);
    expect(backend.memory().used).toBe(0);
  });

  it("numbers that overflow on the way: at the first token, not as text", async () => {
    const model = await load(small, { tensors: { "model.norm.weight": tensor([32], (values) => values.fill(3e38)) } });
    await expect(collect(model, "ab")).rejects.toThrow(/no finite logits after 3 tokens/);
    await model.close();
  });

  it("a context that is none", async () => {
    await expect(load(small, {}, { contextLength: 0 })).rejects.toThrow(/contextLength is 0/);
    await expect(load(small, {}, { contextLength: 1.5 })).rejects.toThrow(/contextLength is 1.5/);
    await expect(load(small, {}, { chunk: 0 })).rejects.toThrow(/chunk is 0/);
  });

  it("a backend that cannot run models", async () => {
    const backend = referenceBackend();
    const tensorsOnly = { ...backend, capabilities: { ...backend.capabilities, ops: ["neural"] as const } };
    await expect(load(small, {}, { backend: tensorsOnly })).rejects.toThrow(/lacks selection, attention/);
    const wide = { ...backend, capabilities: { ...backend.capabilities, headDim: { min: 64, max: 128, multipleOf: 64 } } };
    const loading = load(small, {}, { backend: wide });
    await expect(loading).rejects.toThrow(/heads are 16 wide.*from 64 to 128 in steps of 64/);
    await expect(loading).rejects.toThrow(UnsupportedError);
  });

  it("releases everything when loading fails or is stopped", async () => {
    const backend = referenceBackend();
    const before = backend.memory().used;
    const damaged = tensor([32], (values) => (values[0] = NaN));
    await expect(load(small, { tensors: { "model.norm.weight": damaged } }, { backend })).rejects.toThrow(/model.norm.weight/);
    await expect(load(small, {}, { backend, signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
    expect(backend.memory().used).toBe(before);
  });
});

describe("memory is known before loading", () => {
  for (const sparse_config of [undefined, { block_size: 16, window_size: 16, topk: 3, kernel_size: 8, kernel_stride: 4 }]) {
    it(sparse_config === undefined ? "dense model" : "sparse model", async () => {
      const model = randomModel("llama", { sparse_config });
      const backend = referenceBackend();
      const description = await inspectModel(hfFiles(model));
      const foretold = description.memoryAt(512, backend);
      const before = backend.memory().used;
      const loaded = await loadModel(hfFiles(model), { backend, contextLength: 512 });
      const used = backend.memory().used - before;
      expect(loaded.cacheBytes).toBe(foretold.kvCache + foretold.compressedKeys);
      expect(foretold.compressedKeys > 0).toBe(sparse_config !== undefined);
      // Besides: RoPE frequencies and the state of a batch.
      expect(used - foretold.total).toBeGreaterThanOrEqual(0);
      expect(used - foretold.total).toBeLessThan(8192);
      await loaded.close();
      expect(backend.memory().used).toBe(before);
    });
  }

  it("describes a model without reading its weights", async () => {
    const description = await inspectModel("embedded");
    expect(description).toMatchObject({
      architecture: "llama",
      parameters: 10_227_968,
      layers: 8,
      trainedContext: 32_768,
      storedAs: { bf16: 10_227_968 },
      sparse: { topk: 16, windowSize: 512, denseLen: 4096 },
    });
    const { kvCache, compressedKeys } = description.memoryAt(8192);
    // Keys and values of 64 numbers in 16 bits over 8 layers, and 5/64 fine and coarse keys per key.
    expect(kvCache).toBe(8 * 64 * 2 * 8192 * 2);
    expect(compressedKeys).toBe((8 * 64 * 2 * 8192 * 5) / 64);
  });
});
