/** The KV cache of a whole model: pages of one block each, K and V per layer apart, with compressed keys beside them. */
import { ConfigError, UsageError } from "@infllm/tensor";
import type { CacheDType } from "@infllm/tensor";
import { blockCount } from "@infllm/block-selection";
import type { LayerCache, LayerCacheShape, SelectionBackend, SparseConfig } from "@infllm/block-selection";
import { CachedSequence } from "./cached-sequence.ts";
import { PagePool } from "./page-pool.ts";

/** Tokens of a page when no sparse config says otherwise. */
export const DEFAULT_BLOCK_SIZE = 64;

export interface KvCacheSpec {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens that one sequence may hold. */
  readonly contextLength: number;
  /** The backend's first `capabilities.kvCache` when absent. */
  readonly dtype?: CacheDType | undefined;
  /** Present when layers may attend sparsely: compressed keys are kept, too. */
  readonly sparse?: SparseConfig | undefined;
  /** Sequences of full length that fit at once; 1 when absent. */
  readonly sequences?: number | undefined;
}

export class KvCache {
  readonly #pool: PagePool;
  readonly #sequences = new Set<CachedSequence>();
  #closed = false;

  private constructor(
    readonly layers: readonly LayerCache[],
    /** Shape of every layer. */
    readonly shape: LayerCacheShape,
    readonly contextLength: number,
  ) {
    this.#pool = new PagePool(shape.pages, this.bytes / shape.pages);
  }

  /** Bytes that `allocate` would take on this backend, without allocating. @throws ConfigError */
  static bytes(backend: SelectionBackend, spec: KvCacheSpec): number {
    return spec.layers * backend.selection.cacheBytes(layerShape(backend, spec));
  }

  /** The same in two parts. */
  static parts(backend: SelectionBackend, spec: KvCacheSpec): { readonly keysAndValues: number; readonly compressedKeys: number } {
    const { sparse: _, ...plain } = layerShape(backend, spec);
    const keysAndValues = spec.layers * backend.selection.cacheBytes(plain);
    return { keysAndValues, compressedKeys: KvCache.bytes(backend, spec) - keysAndValues };
  }

  /** Allocates every layer for the stated context, once. @throws ConfigError, OutOfMemoryError, UnsupportedError */
  static allocate(backend: SelectionBackend, spec: KvCacheSpec): KvCache {
    const shape = layerShape(backend, spec);
    const layers: LayerCache[] = [];
    try {
      for (let i = 0; i < spec.layers; i++) layers.push(backend.selection.allocateCache(shape));
    } catch (error) {
      for (const layer of layers) layer.release();
      throw error;
    }
    return new KvCache(layers, shape, spec.contextLength);
  }

  /** Bytes on the device, compressed keys included. */
  get bytes(): number {
    return this.layers.reduce((sum, layer) => sum + layer.bytes, 0);
  }

  get blockSize(): number {
    return this.shape.blockSize;
  }

  /** Blocks of a sequence of full length: columns of its page table. */
  get maxPages(): number {
    return blockCount(this.contextLength, this.blockSize);
  }

  /** Pages that no sequence holds. */
  get freePages(): number {
    return this.#pool.free;
  }

  /** An empty sequence. It takes pages as it grows. @throws UsageError after close */
  addSequence(): CachedSequence {
    if (this.#closed) throw new UsageError("This KV cache was closed. Allocate another with KvCache.allocate.");
    const sequence = new CachedSequence(this.#pool, this.blockSize, this.contextLength);
    this.#sequences.add(sequence);
    return sequence;
  }

  /** Releases device memory and every sequence. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const sequence of this.#sequences) sequence.release();
    for (const layer of this.layers) layer.release();
  }
}

function layerShape(backend: SelectionBackend, spec: KvCacheSpec): LayerCacheShape {
  const { layers, kvHeads, headDim, contextLength, sparse, sequences = 1 } = spec;
  for (const [name, value] of Object.entries({ layers, kvHeads, headDim, contextLength, sequences })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ConfigError(`KvCache: ${name} is ${value}; it must be a positive integer.`);
    }
  }
  const dtype = spec.dtype ?? backend.capabilities.kvCache[0];
  if (dtype === undefined || !backend.capabilities.kvCache.includes(dtype)) {
    throw new ConfigError(
      `KvCache: a cache of ${dtype} cannot be had on this backend; it offers ${backend.capabilities.kvCache.join(", ")}. ` +
        "Choose one of them, or leave the type out for the first.",
    );
  }
  const blockSize = sparse?.blockSize ?? DEFAULT_BLOCK_SIZE;
  const pages = sequences * blockCount(contextLength, blockSize);
  return { pages, kvHeads, headDim, blockSize, dtype, ...(sparse === undefined ? {} : { sparse }) };
}
