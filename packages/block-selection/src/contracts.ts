/**
 * What a backend must do to select blocks, and the paged sequences that selection and attention read.
 *
 * Notation: `windows` are runs of `kernelSize` keys at stride `kernelStride`; fine keys (K1) are their means, coarse
 * keys (K2) the same with both numbers four times as large. `cells` below are runs of `kernelStride` tokens.
 */
import type { Backend, CacheDType, DeviceTensor } from "@infllm/tensor";
import type { SparseConfig } from "./config.ts";

/**
 * A batch of sequences and the query rows to process, all lengths in device memory. The host numbers are bounds that
 * size launches; results depend on the device tensors alone, so a recorded step can be replayed as sequences grow.
 */
export interface SequenceBatch {
  readonly sequences: number;
  /** Query rows in total. */
  readonly rows: number;
  /** Upper bound of the query rows of one sequence. */
  readonly maxQueryLength: number;
  /** Upper bound of every entry of `kvLengths`, at most `pageTable` columns × block size. */
  readonly maxKvLength: number;
  /** i32 `[sequences + 1]`: rows `queryStarts[s]` to `queryStarts[s+1]` belong to sequence s. */
  readonly queryStarts: DeviceTensor;
  /** i32 `[sequences]`: absolute position of a sequence's first query row; its rows are consecutive positions. */
  readonly queryPositions: DeviceTensor;
  /** i32 `[sequences]`: cached tokens, the query rows' own included. Every row's position is below it. */
  readonly kvLengths: DeviceTensor;
  /** i32 `[sequences, maxPages]`: page of block b of sequence s; entries past the length are not read. */
  readonly pageTable: DeviceTensor;
}

/** Shape of one layer's cache. `blockSize` tokens make a page. */
export interface LayerCacheShape {
  readonly pages: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly blockSize: number;
  /** Of keys and values. Compressed keys are stored no coarser than `compressedDType` says. */
  readonly dtype: CacheDType;
  /** Present when the layer may attend sparsely: the cache then keeps fine and coarse keys. */
  readonly sparse?: SparseConfig;
}

/** What can be read back out of a cache with `readCache`. */
export type CacheRows = "keys" | "values" | "fine-keys" | "coarse-keys";

/**
 * One layer's pages. The layout inside a page is the backend's own; what belongs to which page is not:
 * tokens of block b, and the windows that END in block b, live in the page of block b, so a page depends only on
 * its block and what came before, and sequences that share a prefix can share its pages.
 */
export interface LayerCache {
  readonly shape: LayerCacheShape;
  /** Bytes on the device, compressed keys included. */
  readonly bytes: number;
  release(): void;
}

export interface AppendKvArgs {
  /** `[rows, kvHeads * headDim]` in the activation type, after RoPE. */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly cache: LayerCache;
  /** Row r of sequence s is stored at position `queryPositions[s] + r − queryStarts[s]`. */
  readonly batch: SequenceBatch;
}

export interface CompressKeysArgs {
  readonly cache: LayerCache;
  /** Windows that end within the batch's query rows are written; their keys must be in the cache already. */
  readonly batch: SequenceBatch;
}

export interface SelectBlocksArgs {
  /** `[rows, heads * headDim]` in the activation type, after RoPE; query head h uses KV head floor(h / group). */
  readonly q: DeviceTensor;
  readonly cache: LayerCache;
  readonly batch: SequenceBatch;
  /** Multiplies q·k; usually 1 / √headDim. */
  readonly scale: number;
  /** i32 `[kvHeads, capacity ≥ rows, budget]`: selected blocks, ascending, padded with −1. */
  readonly blockIndices: DeviceTensor;
  /**
   * f32 `[kvHeads, capacity ≥ rows, maxBlocks]` when wanted: pooled scores before forcing; 0 where every window of a block is
   * invisible, −Infinity where the sequence has no window for the block (also past its last block). With the
   * approximate LSE a score can exceed f32: from 2^120 on it may be any larger number or Infinity, and such scores tie.
   */
  readonly blockScores?: DeviceTensor;
}

/** Selection as a backend provides it. */
export interface SelectionOps {
  /** Zero-length caches are refused. @throws OutOfMemoryError, UnsupportedError */
  allocateCache(shape: LayerCacheShape): LayerCache;
  /** Bytes that `allocateCache` would take, without allocating. */
  cacheBytes(shape: LayerCacheShape): number;
  /** Stores the rows' keys and values in the cache's type; in `q8` a token's key or value of one KV head is a row with a scale. */
  appendKv(args: AppendKvArgs): void;
  /** Writes fine and coarse keys: f32 means of cached (rounded) keys, oldest token first. */
  compressKeys(args: CompressKeysArgs): void;
  /** `appendKv`, then `compressKeys`, for a cache with a sparse config; only where a backend gains by doing both at once. */
  readonly appendAndCompress?: ((args: AppendKvArgs) => void) | undefined;
  /** Scores, pools, forces and selects in one op; nothing of size rows × heads × windows is stored. */
  selectBlocks(args: SelectBlocksArgs): void;
  /**
   * Copies cached rows `[from, to)` of sequence `s` to the host as f32 `[to − from, kvHeads, headDim]`: tokens, or
   * windows by number. For tests, saving and inspection, not for speed.
   */
  readCache(
    cache: LayerCache,
    what: CacheRows,
    batch: SequenceBatch,
    sequence: number,
    from: number,
    to: number,
  ): Promise<Float32Array>;
}

/** Stores the rows' keys and values, and the compressed keys of a cache that may be read sparsely. */
export function appendRows(selection: SelectionOps, args: AppendKvArgs): void {
  if (args.cache.shape.sparse === undefined) {
    selection.appendKv(args);
  } else if (selection.appendAndCompress !== undefined) {
    selection.appendAndCompress(args);
  } else {
    selection.appendKv(args);
    selection.compressKeys({ cache: args.cache, batch: args.batch });
  }
}

export interface SelectionBackend extends Backend {
  readonly selection: SelectionOps;
}
