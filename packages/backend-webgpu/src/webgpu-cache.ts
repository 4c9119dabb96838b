/**
 * One layer's pages. Keys and values `[pages, kvHeads, blockSize, headDim]`, fine and coarse keys
 * `[pages, kvHeads, windows that end in a block, headDim]`, all in the cache's type and each in a buffer of its own.
 */
import { OutOfMemoryError, UnsupportedError, UsageError, dtypeInfo } from "@infllm/tensor";
import type { CacheDType, FloatDType } from "@infllm/tensor";
import { checkCacheShape, windowLevels } from "@infllm/block-selection";
import type { CacheRows, LayerCache, LayerCacheShape } from "@infllm/block-selection";
import type { Bound, Machine } from "./machine.ts";

export { windowLevels } from "@infllm/block-selection";
export type { WindowLevel } from "@infllm/block-selection";

/** What the kernels compute: four numbers at a time, and at most 16 of them by each of 16 invocations. */
export const headDims = { min: 4, max: 256, multipleOf: 4 } as const;

/** Types that kernels read caches of. */
export const cacheTypes = ["f32", "f16", "bf16"] as const satisfies readonly FloatDType[];

export class WebGpuCache implements LayerCache {
  readonly bytes: number;
  readonly dtype: FloatDType;
  readonly #parts = new Map<CacheRows, Bound>();
  #released = false;

  constructor(
    private readonly machine: Machine,
    readonly shape: LayerCacheShape,
  ) {
    const parts = partBytes(shape);
    this.dtype = cacheType(shape.dtype);
    this.bytes = total(parts);
    const what = `A layer's KV cache (${shape.pages} pages of ${shape.blockSize} tokens)`;
    for (const [, bytes] of parts) {
      if (bytes <= machine.bindingBytes) continue;
      throw new OutOfMemoryError(
        what, bytes, machine.bindingBytes,
        "This GPU's kernels reach no more at once. Use a smaller context, or a 16-bit KV cache.",
      );
    }
    try {
      for (const [part, bytes] of parts) {
        const allocation = machine.pool.allocate(what, bytes);
        this.#parts.set(part, { allocation, offset: 0, bytes: allocation.bytes, start: 0 });
      }
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** @throws UsageError after release, or when the cache has no compressed keys */
  part(part: CacheRows): Bound {
    const bound = this.#parts.get(part);
    if (this.#released || bound === undefined) {
      throw new UsageError(this.#released ? "A layer cache is used after release()." : `This layer cache keeps no ${part}.`);
    }
    return bound;
  }

  belongsTo(machine: Machine): boolean {
    return this.machine === machine;
  }

  release(): void {
    this.#released = true;
    for (const { allocation } of this.#parts.values()) allocation.free();
  }
}

export function cacheBytes(shape: LayerCacheShape): number {
  return total(partBytes(shape));
}

function partBytes(shape: LayerCacheShape): [CacheRows, number][] {
  checkShape(shape);
  const { pages, kvHeads, headDim, blockSize, dtype } = shape;
  const slot = pages * kvHeads * headDim * dtypeInfo(cacheType(dtype)).blockBytes;
  const parts: [CacheRows, number][] = [["keys", slot * blockSize], ["values", slot * blockSize]];
  if (shape.sparse === undefined) return parts;
  const { fine, coarse } = windowLevels("allocateCache", shape);
  return [...parts, ["fine-keys", slot * fine.slots], ["coarse-keys", slot * coarse.slots]];
}

function total(parts: readonly (readonly [CacheRows, number])[]): number {
  return parts.reduce((sum, [, bytes]) => sum + Math.ceil(bytes / 16) * 16, 0);
}

/** @throws UnsupportedError */
function cacheType(dtype: CacheDType): FloatDType {
  const known = cacheTypes.find((each) => each === dtype);
  if (known !== undefined) return known;
  throw new UnsupportedError(`allocateCache: the webgpu backend has no kernels for a cache of ${dtype}; use ${cacheTypes.join(", ")}.`);
}

function checkShape(shape: LayerCacheShape): void {
  checkCacheShape(shape);
  const { headDim } = shape;
  if (headDim > headDims.max || headDim % headDims.multipleOf !== 0) {
    throw new UnsupportedError(
      `allocateCache: headDim ${headDim} is not supported; the webgpu backend computes multiples of ${headDims.multipleOf} up to ${headDims.max}.`,
    );
  }
}
