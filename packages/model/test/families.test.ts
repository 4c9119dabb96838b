import { referenceBackend } from "@infllm/backend-cpu";
import { describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import { plainLogits } from "./support/plain-forward.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const longFactors = Array.from({ length: 8 }, (_, i) => 1 + i * 0.7);
const shortFactors = Array.from({ length: 8 }, (_, i) => 1 + i * 0.05);
const longrope = {
  rope_type: "longrope",
  long_factor: longFactors,
  short_factor: shortFactors,
  original_max_position_embeddings: 128,
};

const cases: readonly [name: string, type: string, changes: Record<string, unknown>, context?: number][] = [
  ["Llama", "llama", {}],
  ["Llama, tied, one KV head", "llama", { tie_word_embeddings: true, num_key_value_heads: 1 }],
  ["Llama with every bias", "llama", { attention_bias: true, mlp_bias: true }],
  ["SmolLM2's options", "llama", { is_llama_config: true, rope_interleaved: false, pretraining_tp: 1, rope_theta: 100_000 }],
  ["Llama 3 scaling", "llama", { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 } }],
  ["linear scaling", "llama", { rope_scaling: { type: "linear", factor: 4 } }],
  ["dynamic NTK within the trained context", "llama", { rope_scaling: { type: "dynamic", factor: 2 } }],
  ["dynamic NTK beyond it", "llama", { rope_scaling: { type: "dynamic", factor: 2 }, max_position_embeddings: 32 }, 96],
  ["YaRN", "llama", { rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 128 } }],
  ["Qwen2", "qwen2", { use_sliding_window: false, sliding_window: 4096, max_window_layers: 2 }],
  ["Qwen3", "qwen3", { attention_bias: false, layer_types: ["full_attention", "full_attention"] }],
  ["MiniCPM", "minicpm", {}],
  ["MiniCPM, LongRoPE, short", "minicpm", { rope_scaling: longrope }, 128],
  ["MiniCPM, LongRoPE, long", "minicpm", { rope_scaling: longrope }, 200],
];

const ids = Array.from({ length: 40 }, (_, i) => 4 + ((i * 37) % 250));

describe("each family computes what its definition says", () => {
  for (const [name, type, changes, contextLength = 64] of cases) {
    it(name, async () => {
      const model = randomModel(type, changes);
      const expected = plainLogits(model, ids, contextLength).at(-1) ?? [];
      const loaded = await loadModel(hfFiles(model), { backend: referenceBackend(), contextLength });
      for await (const _ of loaded.generate(ids, { maxTokens: 1 })) continue;
      const logits = await loaded.lastLogits();
      const largest = Math.max(...expected.map(Math.abs));
      // Two layers of f32 sums over at most 64 terms: some hundred roundings of 6e-8.
      for (const [i, value] of expected.entries()) expect(Math.abs((logits[i] ?? NaN) - value)).toBeLessThan(1e-5 * largest);
      await loaded.close();
    });
  }
});
