import type { ModelConfig } from "../config/model-config.ts";

/** Hugging Face names of the tensors outside the layers. */
export const names = {
  embedding: "model.embed_tokens.weight",
  finalNorm: "model.norm.weight",
  output: "lm_head.weight",
} as const;

export const layerPrefix = (layer: number): string => `model.layers.${layer}.`;

/** The tensors that a model of this config consists of: Hugging Face names and shapes (`[out, in]` or `[width]`). */
export function tensorList(config: ModelConfig): Map<string, readonly number[]> {
  const { hidden, vocabulary } = config;
  const list = new Map<string, readonly number[]>([[names.embedding, [vocabulary, hidden]]]);
  for (let layer = 0; layer < config.layers; layer++) {
    for (const [name, shape] of layerTensors(config)) list.set(layerPrefix(layer) + name, shape);
  }
  list.set(names.finalNorm, [hidden]);
  if (!config.tiedEmbeddings) list.set(names.output, [vocabulary, hidden]);
  return list;
}

function layerTensors(config: ModelConfig): [string, readonly number[]][] {
  const { hidden, intermediate, headDim, biases } = config;
  const q = config.heads * headDim;
  const kv = config.kvHeads * headDim;
  const linear = (name: string, rows: number, columns: number, bias: boolean): [string, readonly number[]][] => [
    [`${name}.weight`, [rows, columns]],
    ...(bias ? [[`${name}.bias`, [rows]] as [string, readonly number[]]] : []),
  ];
  return [
    ["input_layernorm.weight", [hidden]],
    ...linear("self_attn.q_proj", q, hidden, biases.qkv),
    ...linear("self_attn.k_proj", kv, hidden, biases.qkv),
    ...linear("self_attn.v_proj", kv, hidden, biases.qkv),
    ...(config.headNorm
      ? ([
          ["self_attn.q_norm.weight", [headDim]],
          ["self_attn.k_norm.weight", [headDim]],
        ] as [string, readonly number[]][])
      : []),
    ...linear("self_attn.o_proj", hidden, q, biases.output),
    ["post_attention_layernorm.weight", [hidden]],
    ...linear("mlp.gate_proj", intermediate, hidden, biases.mlp),
    ...linear("mlp.up_proj", intermediate, hidden, biases.mlp),
    ...linear("mlp.down_proj", hidden, intermediate, biases.mlp),
  ];
}
