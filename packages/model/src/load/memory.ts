import { KvCache } from "@infllm/attention";
import { cachedRowBytes, compressedDType } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { ConfigError, OutOfMemoryError, cacheDTypes } from "@infllm/tensor";
import type { Backend, CacheDType } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import { activationBytes } from "../forward/activations.ts";
import type { ModelBackend } from "../forward/model-backend.ts";

/** Bytes that a loaded model takes, all allocated at load. */
export interface ModelMemory {
  readonly weights: number;
  /** Keys and values for the whole context. */
  readonly kvCache: number;
  /** What sparse attention chooses blocks by; 0 without a sparse config. */
  readonly compressedKeys: number;
  /** Buffers of a pass over a chunk of a prompt, which do not grow with the prompt. */
  readonly activations: number;
  readonly total: number;
}

/** The same of a loaded model, and what its backend holds beside it: undefined where it cannot tell. */
export interface HeldMemory extends ModelMemory {
  /** Temporary memory of ops. */
  readonly scratch: number | undefined;
  /** What recorded steps hold for themselves. */
  readonly recorded: number | undefined;
  /** Host memory for copies. */
  readonly staging: number | undefined;
}

export interface CacheOptions {
  readonly contextLength: number;
  /** The backend's first choice when absent. */
  readonly kvCache?: CacheDType | undefined;
  readonly sparse: SparseConfig | undefined;
}

/** Rows of a prompt chunk: what the backend likes, but no more than the context has. */
export function chunkRows(backend: Backend, contextLength: number): number {
  return Math.max(1, Math.min(backend.capabilities.prefillRows, contextLength));
}

export function cacheSpec(config: ModelConfig, options: CacheOptions) {
  const { layers, kvHeads, headDim } = config;
  return { layers, kvHeads, headDim, contextLength: options.contextLength, dtype: options.kvCache, sparse: options.sparse };
}

/** What loading on this backend will allocate. */
export function memoryOn(
  backend: ModelBackend,
  config: ModelConfig,
  weights: number,
  options: CacheOptions & { readonly chunk: number },
): ModelMemory {
  const cache = KvCache.parts(backend, cacheSpec(config, options));
  const sizes = { rows: options.chunk, logitRows: 1, sparse: options.sparse };
  const activations = activationBytes(config, backend.capabilities.activation, sizes);
  return summed({ weights, kvCache: cache.keysAndValues, compressedKeys: cache.compressedKeys, activations });
}

/** The same without a backend at hand: a 16-bit cache unless stated, f32 activations, prompts in chunks of 512. @throws ConfigError */
export function memoryAnywhere(config: ModelConfig, weights: number, options: CacheOptions): ModelMemory {
  const { contextLength, sparse, kvCache: dtype = "f16" } = options;
  if (!cacheDTypes.includes(dtype)) {
    throw new ConfigError(`kvCache is ${JSON.stringify(dtype)}; it must be one of ${cacheDTypes.join(", ")}.`);
  }
  const { layers, kvHeads, headDim } = config;
  // Coarse windows come at a quarter of the rate of fine ones.
  const compressedRows = sparse === undefined ? 0 : Math.ceil((contextLength * 1.25) / sparse.kernelStride);
  const kvCache = layers * kvHeads * 2 * contextLength * cachedRowBytes(dtype, headDim);
  const compressedKeys = layers * kvHeads * compressedRows * cachedRowBytes(compressedDType(dtype, "f16"), headDim);
  const activations = activationBytes(config, "f32", { rows: Math.min(512, contextLength), logitRows: 1, sparse });
  return summed({ weights, kvCache, compressedKeys, activations });
}

function summed(parts: Omit<ModelMemory, "total">): ModelMemory {
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/** @throws OutOfMemoryError unless all of it fits now */
export function requireMemory(backend: Backend, memory: ModelMemory, contextLength: number): void {
  const { available } = backend.memory();
  if (memory.total <= available) return;
  throw new OutOfMemoryError(
    `A model with a context of ${contextLength} tokens (weights, KV cache, buffers)`,
    memory.total,
    available,
    "Load it with a smaller contextLength, weights as q8_0 or q4_0, or a kvCache of f16 or q8 where the backend has them.",
  );
}
