import { sparseConfigFromHf } from "@infllm/block-selection";
import { ConfigError, FormatError, UnsupportedError, toF32 } from "@infllm/tensor";
import type { GgufFile } from "../formats/gguf.ts";
import type { RopeScaling } from "../rope/rope-config.ts";
import { yarnAmplitude } from "../rope/rope-table.ts";
import { ropeTensors } from "../weights/gguf-names.ts";
import { architectures } from "./model-config.ts";
import type { Architecture, ModelConfig } from "./model-config.ts";
import { Options } from "./options.ts";

/** Metadata under which our own files keep `sparse_config`; other programs pass over it. */
export const SPARSE_PREFIX = "infllm.sparse_config.";

const harmless = ["rope.scaling.finetuned", "tensor_data_layout", "attention.causal"];

/**
 * Reads the configuration inside a GGUF file.
 * @throws UnsupportedError naming the architecture or key that is not understood; ConfigError for wrong values
 */
export async function configFromGguf(gguf: GgufFile): Promise<ModelConfig> {
  const architecture = architectureOf(gguf);
  const options = new Options(keysUnder(gguf, `${architecture}.`), `${architecture}.* in ${gguf.name}`);
  options.ignore(harmless);
  options.allowOnly("expert_count", [0]);
  options.allowOnly("attention.causal", [true]);
  const has = (name: string) => gguf.tensors.has(name) || gguf.unreadable.has(name);
  const hidden = options.count("embedding_length");
  const layers = options.count("block_count");
  const heads = options.count("attention.head_count");
  const kvHeads = options.count("attention.head_count_kv", heads);
  const headDim = options.count("attention.key_length", hidden / heads);
  checkHeads(options, gguf, { heads, kvHeads, headDim });
  const trainedContext = options.count("context_length");
  const config: ModelConfig = {
    architecture,
    layers,
    hidden,
    heads,
    kvHeads,
    headDim,
    intermediate: options.count("feed_forward_length"),
    vocabulary: options.count("vocab_size", gguf.strings("tokenizer.ggml.tokens")?.length),
    normEpsilon: options.positive("attention.layer_norm_rms_epsilon"),
    rope: {
      theta: options.positive("rope.freq_base", 10_000),
      rotaryDim: headDim,
      scaling: await ropeScaling(options, gguf, headDim, trainedContext),
    },
    trainedContext,
    tiedEmbeddings: !has("output.weight"),
    biases: { qkv: has("blk.0.attn_q.bias"), output: has("blk.0.attn_output.bias"), mlp: has("blk.0.ffn_gate.bias") },
    headNorm: architecture === "qwen3",
    ...muP(options, architecture, hidden, layers),
    ...sparse(gguf),
    ...specialTokens(gguf),
  };
  options.refuseOthers("A model with options that nobody computes would run, but wrongly. Use a file of another conversion.");
  return config;
}

function architectureOf(gguf: GgufFile): Architecture {
  const name = gguf.string("general.architecture");
  const known = architectures.find((item) => item === name);
  if (known !== undefined) return known;
  throw new UnsupportedError(
    `${gguf.name} is of the architecture ${name === undefined ? "(none named)" : `"${name}"`}, which is not supported; supported: ${architectures.join(", ")}.`,
  );
}

function keysUnder(gguf: GgufFile, prefix: string): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, value] of gguf.metadata) {
    if (key.startsWith(prefix)) values[key.slice(prefix.length)] = value.value;
  }
  return values;
}

function checkHeads(
  options: Options,
  gguf: GgufFile,
  { heads, kvHeads, headDim }: Pick<ModelConfig, "heads" | "kvHeads" | "headDim">,
): void {
  options.allowOnly("attention.value_length", [headDim]);
  options.allowOnly("rope.dimension_count", [headDim]);
  if (heads % kvHeads !== 0 || headDim % 2 !== 0) {
    throw new ConfigError(
      `${gguf.name} has ${heads} query heads on ${kvHeads} KV heads of ${headDim}; the first must be a multiple of the second, and the width even.`,
    );
  }
}

async function ropeScaling(options: Options, gguf: GgufFile, headDim: number, trainedContext: number): Promise<RopeScaling> {
  const kind = options.string("rope.scaling.type", "none");
  const originalContext = options.count("rope.scaling.original_context_length", trainedContext);
  const attention = options.positive("rope.scaling.attn_factor", 1);
  options.allowOnly("rope.scaling.yarn_ext_factor", [1]);
  if (gguf.tensors.has(ropeTensors.long)) {
    if (kind !== "longrope" && kind !== "none") throw unsupported(gguf, `${kind} with long and short factors`);
    options.ignore(["rope.scaling.factor"]);
    const shortFactors = await divisors(gguf, ropeTensors.short, headDim);
    const longFactors = await divisors(gguf, ropeTensors.long, headDim);
    return { kind: "longrope", shortFactors, longFactors, originalContext, amplitude: attention };
  }
  if (gguf.tensors.has(ropeTensors.divisors)) {
    if (kind !== "none") throw unsupported(gguf, `${kind} with ${ropeTensors.divisors}`);
    return { kind: "divisors", divisors: await divisors(gguf, ropeTensors.divisors, headDim) };
  }
  if (kind === "none") return { kind: "none" };
  const factor = options.positive("rope.scaling.factor");
  if (kind === "linear") return { kind: "linear", factor };
  if (kind !== "yarn") throw unsupported(gguf, kind);
  return {
    kind: "yarn",
    factor,
    originalContext,
    betaFast: options.positive("rope.scaling.yarn_beta_fast", 32),
    betaSlow: options.positive("rope.scaling.yarn_beta_slow", 1),
    truncate: true,
    amplitude: attention * yarnAmplitude(factor),
  };
}

function unsupported(gguf: GgufFile, kind: string): UnsupportedError {
  return new UnsupportedError(`${gguf.name} scales RoPE by ${kind}, which is not supported; supported: none, linear, yarn, longrope.`);
}

async function divisors(gguf: GgufFile, name: string, headDim: number): Promise<number[]> {
  const entry = gguf.tensors.get(name);
  const [length] = entry?.shape ?? [];
  if (entry === undefined || entry.shape.length !== 1 || length !== headDim / 2) {
    throw new FormatError(`${gguf.name}: ${name} must have ${headDim / 2} numbers, one per RoPE frequency; it has ${length ?? "none"}.`);
  }
  const values = [...toF32(entry.dtype, await gguf.read(name), length)];
  if (values.every((value) => Number.isFinite(value) && value > 0)) return values;
  throw new FormatError(`${gguf.name}: ${name} must hold numbers above 0.`);
}

/** MiniCPM's scalings; older conversions leave them out and mean the numbers of MiniCPM-2B. */
function muP(options: Options, architecture: Architecture, hidden: number, layers: number) {
  if (architecture !== "minicpm") return { embeddingScale: 1, residualScale: 1, logitScale: 1 };
  return {
    embeddingScale: options.positive("embedding_scale", 12),
    residualScale: options.positive("residual_scale", 1.4 / Math.sqrt(layers)),
    logitScale: 1 / options.positive("logit_scale", hidden / 256),
  };
}

function sparse(gguf: GgufFile) {
  const json = keysUnder(gguf, SPARSE_PREFIX);
  return Object.keys(json).length === 0 ? {} : { sparse: sparseConfigFromHf(json) };
}

function specialTokens(gguf: GgufFile) {
  const ids = ["eos", "eot", "eom"].map((name) => gguf.number(`tokenizer.ggml.${name}_token_id`));
  const bosId = gguf.number("tokenizer.ggml.bos_token_id");
  return { eosIds: [...new Set(ids.filter((id) => id !== undefined))], ...(bosId === undefined ? {} : { bosId }) };
}
