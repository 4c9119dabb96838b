import { ConfigError, UnsupportedError } from "@infllm/tensor";
import { Options } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";

export type PackedMethod = "gptq" | "marlin" | "awq" | "compressed-tensors";

/** How the linear layers of a checkpoint are packed; always 4 bits. */
export interface PackedConfig {
  readonly method: PackedMethod;
  /** Columns that share a scale and a zero point; −1: all of a row. */
  readonly groupSize: number;
  /** What zero points are stored less: 1 in GPTQ checkpoints up to version 1 of the format, else 0. */
  readonly zeroOffset: 0 | 1;
  /** For people: "GPTQ, 4 bits, groups of 128". */
  readonly description: string;
}

const MARLIN = "GPTQ in Marlin's order";
const supported = "gptq (also as checkpoint_format marlin), awq (version gemm) and compressed-tensors (pack-quantized)";

/**
 * Reads `quantization_config` of a config.json, or the quantize_config.json that older tools write beside it.
 * @throws UnsupportedError for methods, layouts and widths that are not read; ConfigError for wrong values
 */
export function packedConfig(values: JsonObject, where: string): PackedConfig {
  const options = new Options(values, where);
  const method = methodOf(options);
  switch (method) {
    case "gptq":
      return gptq(options);
    case "marlin":
      return described("marlin", "Marlin", groupSize(fourBits(options, "bits")));
    case "awq":
      return awq(options);
    case "compressed-tensors":
      return compressedTensors(options);
    default:
      throw new UnsupportedError(
        `${where} has quant_method ${JSON.stringify(method)}; supported: ${supported}. ` +
          "Use the model in f16 or bf16, as GGUF, or in one of these methods.",
      );
  }
}

/**
 * What the tensors are, where the config does not say: CPM.cu's repack of a GPTQ checkpoint keeps its config, but holds
 * q, k, v and gate, up in one matrix each, in Marlin's order.
 */
export function asStored(config: PackedConfig, names: readonly string[]): PackedConfig {
  const repacked = config.method === "gptq" && names.some((name) => name.endsWith(".self_attn.qkv_proj.qweight"));
  return repacked ? described("marlin", MARLIN, config.groupSize) : config;
}

/** AutoAWQ's own files name neither method nor bits as others do. */
function methodOf(options: Options): string {
  if (options.has("quant_method")) return options.string("quant_method").toLowerCase();
  if (options.has("w_bit")) return "awq";
  return options.has("bits") ? "gptq" : "";
}

function gptq(options: Options): PackedConfig {
  const size = groupSize(fourBits(options, "bits"));
  // Whether the order matters is for the tensors to say (`verify`): some tools set desc_act and keep the order.
  const label = options.boolean("desc_act", false) && size !== -1 ? "GPTQ with act-order" : "GPTQ";
  const marlin = options.boolean("is_marlin_format", false);
  const format = options.string("checkpoint_format", marlin ? "marlin" : "gptq");
  switch (format) {
    case "gptq":
      return described("gptq", label, size, 1);
    case "gptq_v2":
      return described("gptq", label, size);
    case "marlin":
      return described("marlin", MARLIN, size);
    default:
      throw new UnsupportedError(
        `${options.where} has checkpoint_format ${JSON.stringify(format)}; supported: gptq, gptq_v2, marlin. Use the model in one of these.`,
      );
  }
}

function awq(options: Options): PackedConfig {
  const version = options.string("version", "gemm").toLowerCase();
  if (version !== "gemm") {
    throw new UnsupportedError(`${options.where} is AWQ of version ${JSON.stringify(version)}; gemm is supported. Use a model of that version.`);
  }
  fourBits(options, options.has("w_bit") ? "w_bit" : "bits");
  return described("awq", "AWQ", groupSize(options, options.has("q_group_size") ? "q_group_size" : "group_size"));
}

function compressedTensors(options: Options): PackedConfig {
  const format = options.string("format");
  if (format !== "pack-quantized") {
    throw new UnsupportedError(
      `${options.where} has format ${JSON.stringify(format)} of compressed-tensors; pack-quantized is supported. Use the model in that format, or in f16 or bf16.`,
    );
  }
  const groups = Object.keys(options.object("config_groups")?.values ?? {});
  const [first, ...others] = groups;
  if (first === undefined || others.length > 0) {
    throw new UnsupportedError(`config_groups of ${options.where} has ${groups.length} groups (${groups.slice(0, 4).join(", ")}); one is supported.`);
  }
  const group = options.object("config_groups")?.object(first);
  const weights = group?.object("weights");
  if (weights === undefined || group?.has("input_activations")) {
    throw new UnsupportedError(`${group?.where ?? options.where} does not quantise weights alone; only weights in 4 bits are supported.`);
  }
  fourBits(weights, "num_bits");
  weights.allowOnly("type", ["int"]);
  const strategy = weights.string("strategy", "group");
  weights.allowOnly("strategy", ["group", "channel"]);
  return described("compressed-tensors", "compressed-tensors", strategy === "channel" ? -1 : groupSize(weights));
}

function fourBits(options: Options, name: string): Options {
  const bits = options.count(name);
  if (bits === 4) return options;
  throw new UnsupportedError(`${options.where} says ${bits} bits; packed weights of 4 bits are supported. Use the model in 4 bits, in f16 or bf16, or as GGUF.`);
}

function groupSize(options: Options, name = "group_size"): number {
  const size = options.number(name);
  if (size === -1 || (Number.isInteger(size) && size > 0 && size % 32 === 0)) return size;
  throw new ConfigError(`${name} of ${options.where} is ${size}; it must be -1 (all of a row) or a multiple of 32.`);
}

function described(method: PackedMethod, label: string, size: number, zeroOffset: 0 | 1 = 0): PackedConfig {
  const groups = size === -1 ? "one scale a row" : `groups of ${size}`;
  return { method, groupSize: size, zeroOffset, description: `${label}, 4 bits, ${groups}` };
}
