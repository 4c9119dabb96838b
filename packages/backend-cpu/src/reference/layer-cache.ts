/** One layer's pages in host memory, f32 after rounding to the cache's dtype. */
import { UsageError, fromF32, roundedToQ8, toF32 } from "@infllm/tensor";
import type { CacheDType } from "@infllm/tensor";
import { COARSE_FACTOR, checkCacheShape, compressedDType, windowSlot, windowsPerPage } from "@infllm/block-selection";
import type { CacheRows, LayerCache, LayerCacheShape, SparseConfig } from "@infllm/block-selection";
import type { Memory } from "./memory.ts";

/** Where a row lies: which block of its sequence, and which row of that block's page. */
interface Place {
  readonly block: number;
  readonly slot: number;
}

/** f32 `[pages, rowsPerPage, kvHeads * headDim]`, and how tokens or windows are numbered in it. */
interface PagedRows {
  readonly data: Float32Array;
  readonly rowsPerPage: number;
  locate(index: number): Place;
}

export class ReferenceCache implements LayerCache {
  readonly bytes: number;
  readonly #paged: Partial<Record<CacheRows, PagedRows>> = {};
  readonly #width: number;
  readonly #memory: { release(): void };
  #released = false;

  constructor(memory: Memory, readonly shape: LayerCacheShape) {
    checkCacheShape(shape);
    this.#width = shape.kvHeads * shape.headDim;
    this.bytes = cacheBytes(shape);
    this.#memory = memory.take("A layer's KV cache", this.bytes, () => {
      for (const { what, rowsPerPage, locate } of layout(shape)) {
        this.#paged[what] = { data: new Float32Array(shape.pages * rowsPerPage * this.#width), rowsPerPage, locate };
      }
    });
  }

  /** Stores row `index` (a token or a window) of the sequence with these pages, rounded as the cache's dtype demands. */
  store(what: CacheRows, pages: Int32Array, index: number, row: Float32Array): void {
    const { dtype } = this.shape;
    const stored = what === "keys" || what === "values" ? dtype : compressedDType(dtype, "f32");
    this.#at(what, pages, index).set(this.#rounded(stored, row));
  }

  /** f32 `[to − from, kvHeads, headDim]`: rows `[from, to)` of the sequence with these pages. */
  load(what: CacheRows, pages: Int32Array, from: number, to: number): Float32Array {
    const out = new Float32Array((to - from) * this.#width);
    for (let index = from; index < to; index++) out.set(this.#at(what, pages, index), (index - from) * this.#width);
    return out;
  }

  release(): void {
    this.#released = true;
    this.#memory.release();
  }

  #rounded(dtype: CacheDType, row: Float32Array): Float32Array {
    if (dtype === "q8") return roundedToQ8(row, this.shape.headDim);
    return toF32(dtype, fromF32(dtype, row), row.length);
  }

  #at(what: CacheRows, pages: Int32Array, index: number): Float32Array {
    if (this.#released) throw new UsageError("A layer cache is used after release().");
    const paged = this.#paged[what];
    if (paged === undefined) throw new UsageError(`A cache without a sparse config has no ${what}.`);
    const { block, slot } = paged.locate(index);
    const page = pages[block] ?? -1;
    if (page < 0 || page >= this.shape.pages) {
      throw new UsageError(`The page table gives page ${page} for block ${block}; the cache has pages 0 to ${this.shape.pages - 1}.`);
    }
    const from = (page * paged.rowsPerPage + slot) * this.#width;
    return paged.data.subarray(from, from + this.#width);
  }
}

export function cacheBytes(shape: LayerCacheShape): number {
  checkCacheShape(shape);
  const rows = layout(shape).reduce((sum, part) => sum + part.rowsPerPage, 0);
  return shape.pages * rows * shape.kvHeads * shape.headDim * 4;
}

/** The parts of a page. */
function layout(shape: LayerCacheShape): (Pick<PagedRows, "rowsPerPage" | "locate"> & { readonly what: CacheRows })[] {
  const { blockSize, sparse } = shape;
  const token = (index: number): Place => ({ block: Math.floor(index / blockSize), slot: index % blockSize });
  const parts: ReturnType<typeof layout> = [
    { what: "keys", rowsPerPage: blockSize, locate: token },
    { what: "values", rowsPerPage: blockSize, locate: token },
  ];
  if (sparse === undefined) return parts;
  for (const what of ["fine-keys", "coarse-keys"] as const) {
    const { size, stride } = windowsOf(what, sparse);
    const locate = (index: number): Place => windowSlot(index, size, stride, blockSize);
    parts.push({ what, rowsPerPage: windowsPerPage(blockSize, stride), locate });
  }
  return parts;
}

/** Size and stride of the windows of one level, in tokens. */
export function windowsOf(what: "fine-keys" | "coarse-keys", config: SparseConfig): { size: number; stride: number } {
  const factor = what === "fine-keys" ? 1 : COARSE_FACTOR;
  return { size: factor * config.kernelSize, stride: factor * config.kernelStride };
}

/** @throws UsageError for another backend's cache */
export function ownCache(what: string, cache: LayerCache): ReferenceCache {
  if (!(cache instanceof ReferenceCache)) throw new UsageError(`${what} was not allocated by this backend.`);
  return cache;
}
