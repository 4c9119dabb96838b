import { fromF32, random, writeSafetensors } from "@infllm/tensor";
import type { EncodableDType, HostTensor } from "@infllm/tensor";
import { byteTokenizer, byteTokenizerConfig, vocabulary } from "./byte-tokenizer.ts";
import { memoryFiles } from "./memory-files.ts";

export type HfConfig = Record<string, unknown> & { readonly model_type: string };

export interface RandomModel {
  readonly config: HfConfig;
  /** Hugging Face names. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float32Array }>;
}

const classes: Record<string, string> = {
  llama: "LlamaForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  minicpm: "MiniCPMForCausalLM",
};

/** The config.json of a small model of a family, with `changes`. */
export function smallConfig(type: string, changes: Record<string, unknown> = {}): HfConfig {
  return {
    model_type: type,
    architectures: [classes[type]],
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    hidden_act: "silu",
    vocab_size: vocabulary,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: false,
    bos_token_id: 0,
    eos_token_id: 1,
    torch_dtype: "float32",
    ...(type === "minicpm" ? { scale_emb: 3, scale_depth: 1.4, dim_model_base: 8 } : {}),
    ...changes,
  };
}

/** A small model of a family with seeded weights; `changes` go into its config.json. */
export function randomModel(type: string, changes: Record<string, unknown> = {}, seed = 1): RandomModel {
  const config = smallConfig(type, changes);
  return { config, tensors: tensorsOf(config, seed) };
}

function tensorsOf(config: HfConfig, seed: number): RandomModel["tensors"] {
  const source = random(seed);
  const n = (name: string) => config[name] as number;
  const hidden = n("hidden_size");
  const q = n("num_attention_heads") * n("head_dim");
  const kv = n("num_key_value_heads") * n("head_dim");
  const middle = n("intermediate_size");
  const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  const add = (name: string, shape: readonly number[], scale: number, offset = 0) => {
    const values = source.normals(shape.reduce((a, b) => a * b, 1), scale).map((value) => value + offset);
    tensors.set(name, { shape, values });
  };
  add("model.embed_tokens.weight", [n("vocab_size"), hidden], 1);
  for (let layer = 0; layer < n("num_hidden_layers"); layer++) {
    const prefix = `model.layers.${layer}.`;
    const linear = (name: string, rows: number, columns: number, bias: boolean) => {
      add(`${prefix}${name}.weight`, [rows, columns], 1.5 / Math.sqrt(columns));
      if (bias) add(`${prefix}${name}.bias`, [rows], 0.3);
    };
    const all = config["attention_bias"] === true;
    const qkv = all || config.model_type === "qwen2";
    add(`${prefix}input_layernorm.weight`, [hidden], 0.2, 1);
    linear("self_attn.q_proj", q, hidden, qkv);
    linear("self_attn.k_proj", kv, hidden, qkv);
    linear("self_attn.v_proj", kv, hidden, qkv);
    if (config.model_type === "qwen3") {
      add(`${prefix}self_attn.q_norm.weight`, [n("head_dim")], 0.2, 1);
      add(`${prefix}self_attn.k_norm.weight`, [n("head_dim")], 0.2, 1);
    }
    linear("self_attn.o_proj", hidden, q, all);
    add(`${prefix}post_attention_layernorm.weight`, [hidden], 0.2, 1);
    const mlp = config["mlp_bias"] === true;
    linear("mlp.gate_proj", middle, hidden, mlp);
    linear("mlp.up_proj", middle, hidden, mlp);
    linear("mlp.down_proj", hidden, middle, mlp);
  }
  add("model.norm.weight", [hidden], 0.2, 1);
  if (config["tie_word_embeddings"] !== true) add("lm_head.weight", [n("vocab_size"), hidden], 1 / Math.sqrt(hidden));
  return tensors;
}

export interface FileOptions {
  readonly dtype?: EncodableDType;
  /** Tensors and JSON files to replace, or to leave out when undefined. */
  readonly tensors?: Readonly<Record<string, HostTensor | undefined>>;
  readonly files?: Readonly<Record<string, object | string | Uint8Array>>;
  readonly without?: readonly string[];
}

/** The model as the files of a Hugging Face folder. */
export function hfFiles({ config, tensors }: RandomModel, options: FileOptions = {}) {
  const { dtype = "f32" } = options;
  const stored = new Map<string, HostTensor>();
  for (const [name, { shape, values }] of tensors) {
    stored.set(name, { dtype, shape, data: fromF32(dtype, values) });
  }
  for (const [name, tensor] of Object.entries(options.tensors ?? {})) {
    if (tensor === undefined) stored.delete(name);
    else stored.set(name, tensor);
  }
  const entries: Record<string, Uint8Array | object | string> = {
    "config.json": config,
    "tokenizer.json": byteTokenizer,
    "tokenizer_config.json": byteTokenizerConfig,
    "model.safetensors": writeSafetensors(stored),
    ...options.files,
  };
  for (const name of options.without ?? []) delete entries[name];
  return memoryFiles(entries);
}
