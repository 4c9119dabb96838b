import type { SparseConfig } from "@infllm/block-selection";
import { ConfigError, byteLength } from "@infllm/tensor";
import type { Backend, CacheDType, DType, WeightDType } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import { requireModelBackend } from "../forward/model-backend.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { tensorList } from "../weights/tensor-list.ts";
import { weightPlan } from "../weights/weight-plan.ts";
import type { WeightsOption } from "../weights/weight-plan.ts";
import { chunkRows, memoryAnywhere, memoryOn } from "./memory.ts";
import type { ModelMemory } from "./memory.ts";
import type { OpenedModel } from "./opened-model.ts";

export interface MemoryOptions {
  readonly weights?: WeightsOption | undefined;
  readonly kvCache?: CacheDType | undefined;
}

/** What is known about a model without reading its weights. */
export interface ModelDescription {
  readonly name: string;
  readonly format: "safetensors" | "gguf";
  readonly architecture: string;
  readonly parameters: number;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  /** Tokens. */
  readonly trainedContext: number;
  readonly tiedEmbeddings: boolean;
  /** Parameters by the type they are stored as. */
  readonly storedAs: Readonly<Partial<Record<DType, number>>>;
  /** How a checkpoint's weights are packed, such as "GPTQ, 4 bits, groups of 128"; absent where they are not. */
  readonly quantisation?: string;
  /** Absent when the model only attends densely. */
  readonly sparse?: SparseConfig;
  /**
   * Bytes that loading takes with room for `contextLength` tokens: exact for the given backend; without one, for
   * weights as stored, f32 activations and, unless stated, a 16-bit cache. @throws ConfigError
   */
  memoryAt(contextLength: number, backend?: Backend, options?: MemoryOptions): ModelMemory;
}

export function describe(opened: OpenedModel, sparse: SparseConfig | undefined): ModelDescription {
  const { config, weights } = opened;
  const storedAs = parametersByType(weights, config);
  return {
    name: opened.name,
    format: opened.format,
    architecture: config.architecture,
    parameters: Object.values(storedAs).reduce((sum, count) => sum + count, 0),
    layers: config.layers,
    hidden: config.hidden,
    heads: config.heads,
    kvHeads: config.kvHeads,
    headDim: config.headDim,
    intermediate: config.intermediate,
    vocabulary: config.vocabulary,
    trainedContext: config.trainedContext,
    tiedEmbeddings: config.tiedEmbeddings,
    storedAs,
    ...(opened.quantisation === undefined ? {} : { quantisation: opened.quantisation }),
    ...(sparse === undefined ? {} : { sparse }),
    memoryAt(contextLength, backend, options = {}) {
      requireContext(contextLength);
      const cache = { contextLength, kvCache: options.kvCache, sparse };
      if (backend === undefined) return memoryAnywhere(config, storedBytes(weights, config, options.weights), cache);
      const ready = requireModelBackend(backend);
      const plan = weightPlan(weights, config, backend.capabilities.weights, options.weights ?? "stored");
      return memoryOn(ready, config, plan.bytes, { ...cache, chunk: chunkRows(backend, contextLength) });
    },
  };
}

/** @throws ConfigError unless it is a whole number of tokens from 1 */
export function requireContext(contextLength: number): void {
  if (Number.isSafeInteger(contextLength) && contextLength >= 1 && contextLength < 2 ** 31) return;
  throw new ConfigError(`contextLength is ${contextLength}; it must be a whole number of tokens from 1 to 2147483647.`);
}

function parametersByType(weights: WeightSource, config: ModelConfig): Partial<Record<DType, number>> {
  const counts: Partial<Record<DType, number>> = {};
  for (const [name, shape] of tensorList(config)) {
    const { dtype } = weights.info(name);
    counts[dtype] = (counts[dtype] ?? 0) + product(shape);
  }
  return counts;
}

function storedBytes(weights: WeightSource, config: ModelConfig, option: WeightsOption = "stored"): number {
  let bytes = 0;
  for (const [name, shape] of tensorList(config)) {
    const matrix: WeightDType | DType = option === "stored" ? weights.info(name).dtype : option;
    bytes += byteLength(shape.length > 1 ? matrix : "f32", product(shape));
  }
  return bytes;
}

function product(shape: readonly number[]): number {
  return shape.reduce((result, axis) => result * axis, 1);
}
