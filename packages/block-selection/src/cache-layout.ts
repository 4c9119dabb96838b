/** What the caches of all backends have in common: their shape, the compressed keys in a page, the rows that can be read back. */
import { Q8_SCALE_BYTES, ShapeError, UsageError, dtypeInfo } from "@infllm/tensor";
import type { CacheDType, FloatDType } from "@infllm/tensor";
import { COARSE_FACTOR } from "./compress-keys.ts";
import type { SparseConfig } from "./config.ts";
import type { CacheRows, LayerCacheShape, SequenceBatch } from "./contracts.ts";
import { windowCount, windowSlot, windowsPerPage } from "./geometry.ts";

/** A level of compressed keys: numbers of its windows in tokens, and rows it has in a page. */
export interface WindowLevel {
  readonly size: number;
  readonly stride: number;
  readonly slots: number;
}

export interface WindowLevels {
  readonly fine: WindowLevel;
  readonly coarse: WindowLevel;
  readonly sparse: SparseConfig;
}

/** @throws ShapeError unless all sizes are positive integers and pages are blocks */
export function checkCacheShape({ pages, kvHeads, headDim, blockSize, sparse }: LayerCacheShape): void {
  for (const [name, value] of Object.entries({ pages, kvHeads, headDim, blockSize })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ShapeError(`allocateCache: ${name} is ${value}; it must be a positive integer.`);
    }
  }
  if (sparse !== undefined && sparse.blockSize !== blockSize) {
    throw new ShapeError(`allocateCache: pages of ${blockSize} tokens do not fit the sparse config's blocks of ${sparse.blockSize}.`);
  }
}

/**
 * The coarsest type that compressed keys may have: the cache's own, but beside 8-bit keys the activations' if that has 16
 * bits, else f16. They decide what is read, and are 1/16 and 1/64 as many.
 */
export function compressedDType(dtype: CacheDType, activation: FloatDType): FloatDType {
  if (dtype !== "q8") return dtype;
  return activation === "f32" ? "f16" : activation;
}

/** Bytes of one token's key, or value, of one KV head. */
export function cachedRowBytes(dtype: CacheDType, headDim: number): number {
  return dtype === "q8" ? headDim + Q8_SCALE_BYTES : headDim * dtypeInfo(dtype).blockBytes;
}

/** @throws UsageError when the cache has no compressed keys */
export function windowLevels(what: string, { sparse }: LayerCacheShape): WindowLevels {
  if (sparse === undefined) throw new UsageError(`${what}: the cache has no sparse config; allocate it with one to select blocks.`);
  return { fine: level(sparse, 1), coarse: level(sparse, COARSE_FACTOR), sparse };
}

function level({ blockSize, kernelSize, kernelStride }: SparseConfig, factor: number): WindowLevel {
  const stride = factor * kernelStride;
  return { size: factor * kernelSize, stride, slots: Math.ceil(windowsPerPage(blockSize, stride)) };
}

/** Rows of one part of a cache: where they lie in the pages of a sequence. */
export interface RowPlaces {
  /** Rows in a page. */
  readonly slots: number;
  /** @throws ShapeError unless rows `[from, to)` are among those of a sequence of `length` tokens */
  check(from: number, to: number, length: number): void;
  place(row: number): { readonly block: number; readonly slot: number };
}

/** @throws UsageError for compressed keys of a cache without */
export function rowPlaces(what: CacheRows, shape: LayerCacheShape): RowPlaces {
  const { blockSize } = shape;
  const compressed = levelOf(what, shape);
  return {
    slots: compressed?.slots ?? blockSize,
    check(from, to, length) {
      const rows = compressed === undefined ? length : windowCount(length, compressed.size, compressed.stride);
      if (Number.isInteger(from) && Number.isInteger(to) && from >= 0 && to >= from && to <= rows) return;
      throw new ShapeError(`readCache: rows [${from}, ${to}) are not among the ${rows} ${what} of a sequence of ${length} tokens.`);
    },
    place: (row) =>
      compressed === undefined
        ? { block: Math.floor(row / blockSize), slot: row % blockSize }
        : windowSlot(row, compressed.size, compressed.stride, blockSize),
  };
}

function levelOf(what: CacheRows, shape: LayerCacheShape): WindowLevel | undefined {
  if (what === "keys" || what === "values") return undefined;
  const levels = windowLevels("readCache", shape);
  return what === "fine-keys" ? levels.fine : levels.coarse;
}

/** @throws ShapeError when the batch has no such sequence */
export function checkSequence(sequence: number, batch: SequenceBatch): void {
  if (Number.isInteger(sequence) && sequence >= 0 && sequence < batch.sequences) return;
  throw new ShapeError(`readCache: sequence ${sequence} is not in the batch, which has ${batch.sequences}.`);
}

/** @throws ShapeError unless the page table has a row for each sequence and pages for the longest */
export function checkPageTable(what: string, table: { readonly rows: number; readonly columns: number }, batch: SequenceBatch, blockSize: number): void {
  if (table.rows < batch.sequences) {
    throw new ShapeError(`${what}: batch.pageTable has ${table.rows} rows; the batch has ${batch.sequences} sequences.`);
  }
  if (batch.maxKvLength > table.columns * blockSize) {
    throw new ShapeError(
      `${what}: batch.maxKvLength is ${batch.maxKvLength}; its page table has ${table.columns} pages of ${blockSize} tokens.`,
    );
  }
}
