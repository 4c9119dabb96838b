/** What a model tells of its time and memory. */
import { createMethod } from "@infllm/attention/methods";
import { cpuBackend, referenceBackend } from "@infllm/backend-cpu";
import { describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { ModelBackend, Profile } from "../src/index.ts";
import { Latencies } from "../src/generate/latencies.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const sparse_config = { kernel_size: 8, kernel_stride: 4, block_size: 16, init_blocks: 1, window_size: 16, topk: 2, dense_len: 70 };
const small = randomModel("llama", { sparse_config, num_key_value_heads: 1 });
const prompt = Array.from({ length: 60 }, (_, i) => 4 + ((i * 37) % 256));
const load = (backend: ModelBackend, options = {}) => loadModel(hfFiles(small), { backend, contextLength: 128, chunk: 32, ...options });

/** Calls by op. */
const calls = (times: Profile["prefill"]): Record<string, number> => Object.fromEntries(times.map(({ op, calls: count }) => [op, count]));

describe("a profile", () => {
  // 2 layers of four products: q, k and v, output, gate and up, down. The last one makes logits.
  const layers = { embed: 1, rmsNorm: 5, linear: 9, rotate: 2, appendKv: 2, compressKeys: 2, swiglu: 2, sample: 1 };

  it("counts and times every op of the prompt and of a step, and changes nothing", async () => {
    const [plain, profiled] = [await load(referenceBackend()), await load(referenceBackend())];
    for (const maxTokens of [1, 5, 20]) {
      const options = { maxTokens, ignoreEos: true, temperature: 0.8, seed: 4 } as const;
      const expected = await collect(plain, prompt, options);
      const { stats } = await collect(profiled, prompt, { ...options, profile: true });
      expect(stats.tokens).toEqual(expected.stats.tokens);
      expect(await profiled.lastLogits()).toEqual(await plain.lastLogits());
      expect(await profiled.lastSelection()).toEqual(await plain.lastSelection());
      expect(expected.stats.profile).toBeUndefined();
      const { prefill, decode } = stats.profile as Profile;
      const attend = maxTokens === 20 ? { selectBlocks: 2, attendBlocks: 2 } : { attendDense: 2 };
      expect(calls(decode)).toEqual({ ...layers, ...attend });
      // Two chunks of 32 rows at most: the last layer of the first one only appends.
      expect(calls(prefill)).toMatchObject({ embed: 2, appendKv: 4, compressKeys: 4, attendDense: 3, sample: 1 });
      for (const { seconds } of [...prefill, ...decode]) expect(seconds).toBeGreaterThan(0);
      expect(new Set(decode.map(({ kind }) => kind))).toEqual(new Set(["attention", "selection", "products", "other"]));
    }
    await Promise.all([plain.close(), profiled.close()]);
  });

  it("is the device's own where it measures", async () => {
    const inner = referenceBackend();
    let measured = 0;
    const backend: ModelBackend = {
      ...inner,
      async measure(pieces) {
        measured++;
        return pieces.map((piece) => (piece(), 0.5));
      },
    };
    const model = await load(backend);
    const { stats } = await collect(model, prompt, { maxTokens: 3, ignoreEos: true, profile: true });
    expect(stats.profile?.decode.find(({ op }) => op === "linear")).toEqual({ op: "linear", kind: "products", calls: 9, seconds: 4.5 });
    expect(measured).toBe(2 + 5);
    const plain = await load(referenceBackend());
    expect(stats.tokens).toEqual((await collect(plain, prompt, { maxTokens: 3, ignoreEos: true })).stats.tokens);
    await Promise.all([model.close(), plain.close()]);
  });

  it("goes together with drafts, and with methods that can take tokens back", async () => {
    const model = await load(referenceBackend(), { method: createMethod("sliding-window", { sinks: 2, window: 30 }) });
    const options = { maxTokens: 12, ignoreEos: true } as const;
    const plain = await collect(model, prompt, options);
    const both = await collect(model, prompt, { ...options, profile: true, speculate: { adaptive: false } });
    expect(both.stats.tokens).toEqual(plain.stats.tokens);
    await model.close();
    const keeping = await load(referenceBackend(), { method: createMethod("infllm-v1", { initTokens: 4, localWindow: 32, blockSize: 8, topk: 2, chunk: 16 }) });
    await expect(collect(keeping, prompt, { profile: true })).rejects.toThrow(/profile was asked for, but the method infllm-v1/);
    await keeping.close();
  });
});

describe("times from token to token", () => {
  it("are percentiles that occurred", () => {
    const latencies = new Latencies();
    for (let i = 100; i >= 1; i--) latencies.add(i);
    expect(latencies.percentiles()).toEqual({ p50: 50, p90: 90, p99: 99 });
    expect(latencies.sum).toBe(5050);
    const one = new Latencies();
    one.add(3);
    expect(one.percentiles()).toEqual({ p50: 3, p90: 3, p99: 3 });
  });

  it("are told with an answer, unless it has one token", async () => {
    const model = await load(referenceBackend());
    const { stats } = await collect(model, prompt, { maxTokens: 9, ignoreEos: true });
    const { p50 = 0, p90 = 0, p99 = 0 } = stats.tokenSeconds ?? {};
    expect(p50).toBeGreaterThan(0);
    expect(p90).toBeGreaterThanOrEqual(p50);
    expect(p99).toBeLessThanOrEqual(stats.decodeSeconds);
    expect((await collect(model, prompt, { maxTokens: 1 })).stats.tokenSeconds).toBeUndefined();
    await model.close();
  });
});

describe("memory", () => {
  it("is told part by part, and is what the backend holds", async () => {
    const backend = await cpuBackend({ threads: 1 });
    const model = await load(backend);
    const { weights, kvCache, compressedKeys, activations, total } = model.memory();
    expect(weights + kvCache + compressedKeys + activations).toBe(total);
    expect(kvCache + compressedKeys).toBe(model.cacheBytes);
    // 128 tokens of one KV head of 16, f32, K and V in 2 layers; fine keys every 4 tokens, coarse ones every 16.
    expect(kvCache).toBe(128 * 16 * 4 * 2 * 2);
    expect(compressedKeys).toBeGreaterThanOrEqual((128 / 4 + 128 / 16) * 16 * 4 * 2);
    const held = backend.memory().used - (backend.memory().scratch ?? 0);
    // Beside it, lists that say which rows a step has, and the rotation's frequencies.
    expect(held).toBeGreaterThanOrEqual(total);
    expect(held).toBeLessThan(total + 4096);
    await collect(model, prompt, { maxTokens: 2, ignoreEos: true });
    expect(model.memory().scratch).toBeGreaterThan(0);
    await model.close();
    const dense = await loadModel(hfFiles(randomModel("llama")), { backend, contextLength: 128 });
    expect(dense.memory().compressedKeys).toBe(0);
    await dense.close();
    await backend.close();
  });
});
