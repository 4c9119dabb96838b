import { sparseConfigToHf } from "@infllm/block-selection";
import { UnsupportedError } from "@infllm/tensor";
import type { JsonObject } from "../config/options.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { RopeScaling } from "../rope/rope-config.ts";

const classNames = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  minicpm: "MiniCPMForCausalLM",
} as const;

/** A `config.json` that says the same; `configFromHf` reads it back. */
export function configToHf(config: ModelConfig): JsonObject {
  const { biases, architecture } = config;
  const common = {
    architectures: [classNames[architecture]],
    model_type: architecture,
    vocab_size: config.vocabulary,
    hidden_size: config.hidden,
    intermediate_size: config.intermediate,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    max_position_embeddings: config.trainedContext,
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.rope.theta,
    rope_scaling: ropeScaling(config.rope.scaling, config.trainedContext),
    tie_word_embeddings: config.tiedEmbeddings,
    eos_token_id: config.eosIds,
    ...(config.bosId === undefined ? {} : { bos_token_id: config.bosId }),
    ...(config.sparse === undefined ? {} : { sparse_config: sparseConfigToHf(config.sparse) }),
  };
  if (architecture === "qwen2") {
    if (biases.output || biases.mlp) throw new UnsupportedError("Qwen2's config.json cannot say biases of the output projection or the MLP.");
    return common;
  }
  if (biases.qkv !== biases.output) {
    throw new UnsupportedError(`The config.json of ${architecture} cannot say biases of q, k and v without one of the output projection.`);
  }
  return {
    ...common,
    attention_bias: biases.qkv,
    mlp_bias: biases.mlp,
    ...(architecture === "minicpm"
      ? {
          scale_emb: config.embeddingScale,
          scale_depth: config.residualScale * Math.sqrt(config.layers),
          dim_model_base: config.logitScale * config.hidden,
        }
      : {}),
  };
}

function ropeScaling(scaling: RopeScaling, trainedContext: number): JsonObject | null {
  switch (scaling.kind) {
    case "none":
      return null;
    case "linear":
    case "dynamic":
      return { rope_type: scaling.kind, factor: scaling.factor };
    case "yarn":
      return {
        rope_type: "yarn",
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContext,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        truncate: scaling.truncate,
        attention_factor: scaling.amplitude,
      };
    case "llama3":
      return {
        rope_type: "llama3",
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContext,
      };
    case "longrope":
      return {
        rope_type: "longrope",
        short_factor: scaling.shortFactors,
        long_factor: scaling.longFactors,
        original_max_position_embeddings: scaling.originalContext,
        attention_factor: scaling.amplitude,
      };
    case "divisors":
      // LongRoPE with the same list for short and long contexts is exactly this.
      return {
        rope_type: "longrope",
        short_factor: scaling.divisors,
        long_factor: scaling.divisors,
        original_max_position_embeddings: trainedContext,
        attention_factor: 1,
      };
  }
}
