import { sparseConfigToHf } from "@infllm/block-selection";
import { UnsupportedError } from "@infllm/tensor";
import { SPARSE_PREFIX } from "../config/config-from-gguf.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { GgufTensor } from "../formats/gguf-writer.ts";
import type { GgufValue } from "../formats/gguf-types.ts";
import { ropeTable, yarnAmplitude } from "../rope/rope-table.ts";
import { ropeTensors } from "../weights/gguf-names.ts";

export type Metadata = readonly [key: string, value: GgufValue][];

export const text = (value: string): GgufValue => ({ type: "string", value });
export const count = (value: number): GgufValue => ({ type: "u32", value });
export const float = (value: number): GgufValue => ({ type: "f32", value });
export const flag = (value: boolean): GgufValue => ({ type: "bool", value });

/** `general.file_type` of llama.cpp, for files of one weight type. */
const fileTypes: Readonly<Record<string, number>> = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, bf16: 32 };

/** The model's configuration as GGUF metadata; `sparse_config` goes under keys of our own. */
export function configMetadata(config: ModelConfig, name: string, weights: string): Metadata {
  const fileType = fileTypes[weights];
  const own: Metadata = [
    ["context_length", count(config.trainedContext)],
    ["embedding_length", count(config.hidden)],
    ["block_count", count(config.layers)],
    ["feed_forward_length", count(config.intermediate)],
    ["attention.head_count", count(config.heads)],
    ["attention.head_count_kv", count(config.kvHeads)],
    ["attention.key_length", count(config.headDim)],
    ["attention.value_length", count(config.headDim)],
    ["attention.layer_norm_rms_epsilon", float(config.normEpsilon)],
    ["rope.dimension_count", count(config.rope.rotaryDim)],
    ["rope.freq_base", float(config.rope.theta)],
    ["vocab_size", count(config.vocabulary)],
    ...ropeMetadata(config),
    ...muPMetadata(config),
  ];
  return [
    ["general.architecture", text(config.architecture)],
    ["general.name", text(name)],
    ["general.quantization_version", count(2)],
    ...(fileType === undefined ? [] : [["general.file_type", count(fileType)] as const]),
    ...own.map(([key, value]) => [`${config.architecture}.${key}`, value] as [string, GgufValue]),
    ...sparseMetadata(config),
  ] as Metadata;
}

function ropeMetadata({ rope }: ModelConfig): Metadata {
  const { scaling } = rope;
  switch (scaling.kind) {
    case "none":
    case "llama3":
    case "divisors":
      return [];
    case "linear":
      return [
        ["rope.scaling.type", text("linear")],
        ["rope.scaling.factor", float(scaling.factor)],
      ];
    case "yarn":
      return [
        ["rope.scaling.type", text("yarn")],
        ["rope.scaling.factor", float(scaling.factor)],
        ["rope.scaling.original_context_length", count(scaling.originalContext)],
        ["rope.scaling.yarn_beta_fast", float(scaling.betaFast)],
        ["rope.scaling.yarn_beta_slow", float(scaling.betaSlow)],
        ["rope.scaling.attn_factor", float(scaling.amplitude / yarnAmplitude(scaling.factor))],
      ];
    case "longrope":
      return [
        ["rope.scaling.type", text("longrope")],
        ["rope.scaling.original_context_length", count(scaling.originalContext)],
        ["rope.scaling.attn_factor", float(scaling.amplitude)],
      ];
    case "dynamic":
      throw new UnsupportedError("GGUF cannot say dynamic NTK RoPE scaling; convert to safetensors instead.");
  }
}

function muPMetadata(config: ModelConfig): Metadata {
  if (config.architecture !== "minicpm") return [];
  return [
    ["embedding_scale", float(config.embeddingScale)],
    ["residual_scale", float(config.residualScale)],
    ["logit_scale", float(1 / config.logitScale)],
  ];
}

function sparseMetadata({ sparse }: ModelConfig): Metadata {
  if (sparse === undefined) return [];
  return Object.entries(sparseConfigToHf(sparse)).map(([key, value]) => [
    SPARSE_PREFIX + key,
    typeof value === "string" ? text(value) : typeof value === "boolean" ? flag(value) : { type: "i32", value },
  ]);
}

/** RoPE divisors as tensors, for the scalings that GGUF keeps so. */
export function ropeTensorsOf({ rope, trainedContext }: ModelConfig): GgufTensor[] {
  const { scaling } = rope;
  const tensor = (name: string, values: readonly number[]): GgufTensor => ({
    name,
    dtype: "f32",
    shape: [values.length],
    data: () => [new Uint8Array(Float32Array.from(values).buffer)],
  });
  switch (scaling.kind) {
    case "longrope":
      return [tensor(ropeTensors.long, scaling.longFactors), tensor(ropeTensors.short, scaling.shortFactors)];
    case "divisors":
      return [tensor(ropeTensors.divisors, scaling.divisors)];
    case "llama3": {
      const scaled = ropeTable(rope, trainedContext).frequencies;
      const plain = ropeTable({ ...rope, scaling: { kind: "none" } }, trainedContext).frequencies;
      return [tensor(ropeTensors.divisors, [...plain].map((frequency, i) => frequency / (scaled[i] ?? frequency)))];
    }
    default:
      return [];
  }
}
