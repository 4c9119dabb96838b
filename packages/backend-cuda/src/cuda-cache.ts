/**
 * One layer's pages. Keys and values `[pages, kvHeads, blockSize, headDim]` in the cache's type, where that is q8 pairs of
 * their f16 scales `[pages, kvHeads, blockSize, 2]`; fine and coarse keys `[pages, kvHeads, windows that end in a block,
 * headDim]` in the activations' type.
 */
import { Q8_SCALE_BYTES, UnsupportedError, UsageError, dtypeInfo } from "@infllm/tensor";
import type { CacheDType } from "@infllm/tensor";
import { checkCacheShape, windowLevels } from "@infllm/block-selection";
import type { CacheRows, LayerCache, LayerCacheShape } from "@infllm/block-selection";
import type { Machine } from "./machine.ts";
import type { Allocation } from "./memory-pool.ts";

/** What the general kernels compute: a lane holds at most 16 elements of a head, threads load them in pairs. */
export const headDims = { min: 2, max: 512, multipleOf: 2 } as const;

/** What lies in memory of its own. */
export type CachePart = CacheRows | "scales";

export class CudaCache implements LayerCache {
  readonly bytes: number;
  readonly #allocation: Allocation;
  readonly #starts: Readonly<Record<CachePart, number>>;
  #released = false;

  constructor(
    private readonly machine: Machine,
    readonly shape: LayerCacheShape,
  ) {
    const parts = partBytes(machine, shape);
    this.bytes = total(parts);
    this.#allocation = machine.pool.allocate(
      `A layer's KV cache (${shape.pages} pages of ${shape.blockSize} tokens)`, this.bytes,
    );
    const { address } = this.#allocation;
    // Prefill multiplies values past a sequence's end with a weight of 0, which they must not turn into NaN.
    machine.stream.fill(address, 0, this.bytes);
    const starts = { keys: 0, values: 0, scales: 0, "fine-keys": 0, "coarse-keys": 0 };
    let at = address;
    for (const [part, bytes] of parts) {
      starts[part] = at;
      at += aligned(bytes);
    }
    this.#starts = starts;
  }

  /** Device addresses of the parts, 0 where there is none. @throws UsageError after release */
  get addresses(): Readonly<Record<CachePart, number>> {
    if (this.#released) throw new UsageError("A layer cache is used after release().");
    return this.#starts;
  }

  belongsTo(machine: Machine): boolean {
    return this.machine === machine;
  }

  release(): void {
    this.#released = true;
    this.#allocation.free();
  }
}

export function cacheBytes(machine: Machine, shape: LayerCacheShape): number {
  return total(partBytes(machine, shape));
}

function partBytes(machine: Machine, shape: LayerCacheShape): [CachePart, number][] {
  checkShape(machine, shape);
  const { pages, kvHeads, headDim, blockSize, dtype } = shape;
  const tokens = pages * kvHeads * blockSize;
  const rows = tokens * headDim * (dtype === "q8" ? 1 : dtypeInfo(dtype).blockBytes);
  const parts: [CachePart, number][] = [["keys", rows], ["values", rows]];
  if (dtype === "q8") parts.push(["scales", tokens * 2 * Q8_SCALE_BYTES]);
  if (shape.sparse === undefined) return parts;
  const { fine, coarse } = windowLevels("allocateCache", shape);
  const slot = pages * kvHeads * headDim * dtypeInfo(machine.activation).blockBytes;
  return [...parts, ["fine-keys", slot * fine.slots], ["coarse-keys", slot * coarse.slots]];
}

function total(parts: readonly (readonly [CachePart, number])[]): number {
  return parts.reduce((sum, [, bytes]) => sum + aligned(bytes), 0);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 256) * 256;
}

/** The kernels of a cache of this type: their names have it after the activations' type, where it is another. */
export function cacheVariant({ activation }: Pick<Machine, "activation">, dtype: CacheDType): string {
  return dtype === "q8" ? `${activation}_q8` : activation;
}

function checkShape({ activation }: Machine, shape: LayerCacheShape): void {
  checkCacheShape(shape);
  const { headDim, dtype } = shape;
  if (headDim > headDims.max || headDim % headDims.multipleOf !== 0) {
    throw new UnsupportedError(
      `allocateCache: headDim ${headDim} is not supported; the cuda backend computes even ones up to ${headDims.max}.`,
    );
  }
  if (dtype !== activation && dtype !== "q8") {
    throw new UnsupportedError(
      `allocateCache: a cache of ${dtype} is not supported beside activations of ${activation}; use ${activation} or q8, or ` +
        `cudaBackend({ activation: "${activation === "bf16" ? "f16" : "bf16"}" }).`,
    );
  }
}
