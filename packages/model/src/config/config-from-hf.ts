import { sparseConfigFromHf } from "@infllm/block-selection";
import { ConfigError, UnsupportedError } from "@infllm/tensor";
import { ropeFromHf } from "../rope/rope-from-hf.ts";
import { architectures } from "./model-config.ts";
import type { Architecture, ModelConfig } from "./model-config.ts";
import { Options } from "./options.ts";
import type { JsonObject } from "./options.ts";

/** What a family adds to the common transformer. */
interface Family {
  readonly className: string;
  readonly headNorm: boolean;
  /** `always`, or as `attention_bias` says (which then covers the output projection, too). */
  readonly qkvBias: "always" | "by-option";
  /** Head width where the file does not say: a number, or hidden / heads. */
  readonly defaultHeadDim?: number;
  readonly muP: boolean;
}

const families: Record<Architecture, Family> = {
  llama: { className: "LlamaForCausalLM", headNorm: false, qkvBias: "by-option", muP: false },
  qwen2: { className: "Qwen2ForCausalLM", headNorm: false, qkvBias: "always", muP: false },
  qwen3: { className: "Qwen3ForCausalLM", headNorm: true, qkvBias: "by-option", defaultHeadDim: 128, muP: false },
  minicpm: { className: "MiniCPMForCausalLM", headNorm: false, qkvBias: "by-option", muP: true },
};

/** Bookkeeping of training, storage and other runtimes; none of it changes what the network computes. */
const harmless = [
  "_name_or_path",
  "_attn_implementation_autoset",
  "architectures",
  "attention_dropout",
  "auto_map",
  "bos_token_id",
  "dtype",
  "hidden_dropout",
  "initializer_range",
  "is_llama_config",
  "max_window_layers",
  "model_type",
  "mup_denominator",
  "pad_token_id",
  "pretraining_tp",
  "quantization_config",
  "resid_pdrop",
  "torch_dtype",
  "transformers.js_config",
  "transformers_version",
  "unsloth_fixed",
  "unsloth_version",
  "use_cache",
];

export interface HfFiles {
  /** `config.json` */
  readonly config: JsonObject;
  /** `generation_config.json`, whose end tokens win over the config's. */
  readonly generation?: JsonObject;
  /** Whether the weights hold an output matrix of their own; decides about tying where the config is silent. */
  readonly hasOutputMatrix: boolean;
}

/**
 * Reads a Hugging Face config.
 * @throws UnsupportedError naming the architecture or option that is not understood; ConfigError for wrong values.
 */
export function configFromHf({ config, generation, hasOutputMatrix }: HfFiles): ModelConfig {
  const options = new Options(config, "config.json");
  const architecture = architectureOf(options);
  const family = families[architecture];
  options.ignore(harmless);
  refuseOtherMaths(options);

  const hidden = options.count("hidden_size");
  const layers = options.count("num_hidden_layers");
  const heads = options.count("num_attention_heads");
  const kvHeads = options.count("num_key_value_heads", heads);
  const headDim = headWidth(options, family, hidden, heads, kvHeads);
  const trainedContext = options.count("max_position_embeddings");
  const bias = options.boolean("attention_bias", false);
  const sparse = options.get("sparse_config");
  const read: ModelConfig = {
    architecture,
    layers,
    hidden,
    heads,
    kvHeads,
    headDim,
    intermediate: options.count("intermediate_size"),
    vocabulary: options.count("vocab_size"),
    normEpsilon: options.positive("rms_norm_eps"),
    rope: ropeFromHf(options, headDim, trainedContext),
    trainedContext,
    tiedEmbeddings: options.boolean("tie_word_embeddings", !hasOutputMatrix),
    biases: {
      qkv: family.qkvBias === "always" || bias,
      output: family.qkvBias === "by-option" && bias,
      mlp: options.boolean("mlp_bias", false),
    },
    headNorm: family.headNorm,
    ...muP(options, family, hidden, layers),
    ...(sparse === undefined ? {} : { sparse: sparseConfigFromHf(sparse) }),
    ...specialTokens(options, generation),
  };
  options.refuseOthers(
    "A model with options that nobody computes would run, but wrongly. If you know that they do not change the maths, remove them from the file.",
  );
  return read;
}

function architectureOf(options: Options): Architecture {
  const type = options.string("model_type");
  const known = architectures.find((name) => name === type);
  const list = architectures.map((name) => `${name} (${families[name].className})`).join(", ");
  if (known === undefined) {
    throw new UnsupportedError(`Model type "${type}" of ${options.where} is not supported; supported: ${list}.`);
  }
  const classes = options.get("architectures") ?? [families[known].className];
  if (!Array.isArray(classes) || classes.length !== 1 || classes[0] !== families[known].className) {
    throw new UnsupportedError(
      `${options.where} names the architecture ${JSON.stringify(classes)} for model type "${type}"; supported: ${list}.`,
    );
  }
  return known;
}

/** Options that exist in these families and change the maths in ways this package does not compute. */
function refuseOtherMaths(options: Options): void {
  options.allowOnly("hidden_act", ["silu"]);
  options.allowOnly("partial_rotary_factor", [1]);
  options.allowOnly("rope_interleaved", [false]);
  options.allowOnly("use_sliding_window", [false]);
  if (options.get("use_sliding_window") !== undefined) options.ignore(["sliding_window"]);
  else options.allowOnly("sliding_window", []);
  const layerTypes = options.get("layer_types");
  if (Array.isArray(layerTypes) && layerTypes.every((type) => type === "full_attention")) return;
  options.allowOnly("layer_types", []);
}

function headWidth(options: Options, family: Family, hidden: number, heads: number, kvHeads: number): number {
  if (heads % kvHeads !== 0) {
    throw new ConfigError(
      `${options.where} has ${heads} query heads on ${kvHeads} KV heads; the first must be a multiple of the second.`,
    );
  }
  const width = options.count("head_dim", family.defaultHeadDim ?? hidden / heads);
  if (width % 2 !== 0) {
    throw new ConfigError(`head_dim of ${options.where} is ${width}; it must be even, since RoPE rotates pairs.`);
  }
  return width;
}

function muP(options: Options, family: Family, hidden: number, layers: number) {
  if (!family.muP) return { embeddingScale: 1, residualScale: 1, logitScale: 1 };
  return {
    embeddingScale: options.positive("scale_emb"),
    residualScale: options.positive("scale_depth") / Math.sqrt(layers),
    logitScale: options.positive("dim_model_base") / hidden,
  };
}

function specialTokens(options: Options, generation: JsonObject | undefined) {
  const generating = new Options(generation ?? {}, "generation_config.json");
  const own = options.tokenIds("eos_token_id");
  const eos = generating.tokenIds("eos_token_id");
  const [bosId] = options.tokenIds("bos_token_id");
  return { eosIds: eos.length > 0 ? eos : own, ...(bosId === undefined ? {} : { bosId }) };
}
