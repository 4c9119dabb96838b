import { ConfigError, UnsupportedError } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { smallConfig } from "../../test/support/random-model.ts";
import { configFromHf } from "./config-from-hf.ts";
import { configToHf } from "../convert/hf-config.ts";

const read = (type: string, changes: Record<string, unknown> = {}) =>
  configFromHf({ config: smallConfig(type, changes), hasOutputMatrix: true });

/** MiniCPM4-8B as published, shortened where lists are long. */
const miniCpm4 = {
  head_dim: 128,
  hidden_size: 4096,
  intermediate_size: 16384,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 2,
  max_position_embeddings: 32768,
  vocab_size: 73448,
  eos_token_id: [2, 73440],
  bos_token_id: 1,
  pad_token_id: 2,
  scale_emb: 12,
  scale_depth: 1.4,
  dim_model_base: 256,
  mup_denominator: 32,
  auto_map: { AutoConfig: "configuration_minicpm.MiniCPMConfig" },
  rope_scaling: {
    rope_type: "longrope",
    long_factor: Array.from({ length: 64 }, (_, i) => 1 + i),
    short_factor: Array.from({ length: 64 }, (_, i) => 1 + i),
    original_max_position_embeddings: 32768,
  },
  sparse_config: { kernel_size: 32, kernel_stride: 16, init_blocks: 1, block_size: 64, window_size: 2048, topk: 64, use_nope: false, dense_len: 8192 },
};

describe("configFromHf", () => {
  it("reads MiniCPM4 with its scalings, LongRoPE and sparse_config", () => {
    const config = configFromHf({
      config: { ...smallConfig("minicpm"), ...miniCpm4, tie_word_embeddings: undefined },
      hasOutputMatrix: true,
    });
    expect(config).toMatchObject({
      architecture: "minicpm",
      embeddingScale: 12,
      logitScale: 1 / 16,
      tiedEmbeddings: false,
      eosIds: [2, 73440],
      sparse: { topk: 64, windowSize: 2048, denseLen: 8192, lse: "approx" },
      rope: { scaling: { kind: "longrope", amplitude: 1 } },
    });
    expect(config.residualScale).toBeCloseTo(1.4 / Math.sqrt(32), 12);
  });

  it("reads MiniCPM4-8B and 4.1-8B without sparse_config as dense, whatever their first context", () => {
    const published = { ...smallConfig("minicpm"), ...miniCpm4, sparse_config: undefined, tie_word_embeddings: false };
    for (const context of [32768, 65536]) {
      const rope_scaling = { ...miniCpm4.rope_scaling, factor: 1.0, original_max_position_embeddings: context };
      const other = { attention_bias: false, attention_dropout: 0, pretraining_tp: 1, torch_dtype: "bfloat16", use_cache: true, transformers_version: "4.46.3" };
      const config = configFromHf({ config: { ...published, ...other, max_position_embeddings: context, rope_scaling }, hasOutputMatrix: true });
      expect(config).not.toHaveProperty("sparse");
      expect(config).toMatchObject({ trainedContext: context, tiedEmbeddings: false, kvHeads: 2, rope: { scaling: { originalContext: context, amplitude: 1 } } });
    }
  });

  it("takes the end tokens of generation_config.json where there are some", () => {
    const config = smallConfig("llama");
    const generation = { eos_token_id: [7, 8] };
    expect(configFromHf({ config, generation, hasOutputMatrix: true }).eosIds).toEqual([7, 8]);
    expect(configFromHf({ config, generation: {}, hasOutputMatrix: true }).eosIds).toEqual([1]);
  });

  it("reads the newer rope_parameters", () => {
    const config = read("qwen3", { rope_theta: undefined, rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 1e6 } });
    expect(config.rope).toEqual({ theta: 1e6, rotaryDim: 16, scaling: { kind: "linear", factor: 2 } });
  });

  it("gives Qwen3 heads of 128 where the file is silent, others hidden / heads", () => {
    expect(read("qwen3", { head_dim: undefined }).headDim).toBe(128);
    expect(read("llama", { head_dim: undefined }).headDim).toBe(8);
  });

  it("survives being written back", () => {
    const scalings = [
      null,
      { rope_type: "linear", factor: 2 },
      { rope_type: "dynamic", factor: 2 },
      { rope_type: "yarn", factor: 2, original_max_position_embeddings: 256 },
      { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 },
      miniCpm4.rope_scaling,
    ];
    for (const rope_scaling of scalings) {
      const config = read("minicpm", { ...miniCpm4, rope_scaling });
      const again = configFromHf({ config: configToHf(config), hasOutputMatrix: true });
      expect(again).toEqual({ ...config, residualScale: expect.closeTo(config.residualScale, 12) });
    }
  });

  const refused: readonly [what: string, changes: Record<string, unknown>, message: RegExp, kind: typeof ConfigError | typeof UnsupportedError][] = [
    ["another model type", { model_type: "mistral" }, /"mistral".*supported: llama/, UnsupportedError],
    ["another architecture", { architectures: ["LlamaForSequenceClassification"] }, /LlamaForSequenceClassification/, UnsupportedError],
    ["an unknown option", { attention_sinks: 4 }, /attention_sinks \(4\)/, UnsupportedError],
    ["experts", { num_experts: 8 }, /num_experts \(8\)/, UnsupportedError],
    ["another activation", { hidden_act: "gelu" }, /hidden_act.*"gelu".*"silu"/, UnsupportedError],
    ["partial rotary", { partial_rotary_factor: 0.5 }, /partial_rotary_factor/, UnsupportedError],
    ["interleaved RoPE", { rope_interleaved: true }, /rope_interleaved/, UnsupportedError],
    ["a sliding window", { sliding_window: 4096 }, /sliding_window to 4096/, UnsupportedError],
    ["a sliding window in use", { use_sliding_window: true, sliding_window: 4096 }, /use_sliding_window/, UnsupportedError],
    ["sliding layers", { layer_types: ["full_attention", "sliding_attention"] }, /layer_types/, UnsupportedError],
    ["an unknown RoPE type", { rope_scaling: { rope_type: "su", factor: 2 } }, /"su".*supported: default, linear/, UnsupportedError],
    ["an unknown RoPE option", { rope_scaling: { rope_type: "linear", factor: 2, power: 3 } }, /power \(3\)/, UnsupportedError],
    ["selection without RoPE", { sparse_config: { use_nope: true } }, /use_nope/, UnsupportedError],
    ["an unknown sparse option", { sparse_config: { top_p: 1 } }, /top_p/, ConfigError],
    ["heads that do not divide", { num_key_value_heads: 3 }, /4 query heads on 3 KV heads/, ConfigError],
    ["odd heads", { head_dim: 15 }, /head_dim.*15.*even/, ConfigError],
    ["a missing number", { hidden_size: undefined }, /hidden_size of config.json is missing/, ConfigError],
    ["a number of the wrong kind", { num_hidden_layers: "2" }, /num_hidden_layers.*"2".*finite number/, ConfigError],
    ["no layers", { num_hidden_layers: 0 }, /num_hidden_layers/, ConfigError],
    ["a factor list of another length", { rope_scaling: { rope_type: "longrope", long_factor: [1], short_factor: [1] } }, /_factor.*1 entries.*8/, ConfigError],
    ["RoPE without its factor", { rope_scaling: { rope_type: "linear" } }, /factor of rope_scaling of config.json is missing/, ConfigError],
  ];
  for (const [what, changes, message, kind] of refused) {
    it(`refuses ${what} by name`, () => {
      expect(() => read("llama", changes)).toThrow(message);
      expect(() => read("llama", changes)).toThrow(kind);
    });
  }

  it("refuses MiniCPM without its scalings", () => {
    expect(() => read("minicpm", { scale_emb: undefined })).toThrow(/scale_emb/);
  });
});
