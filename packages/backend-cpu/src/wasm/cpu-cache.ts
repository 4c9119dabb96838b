/**
 * One layer's pages in the WASM memory. Per page and KV head: keys [⌈blockSize / 8⌉][headDim][8] and values
 * [⌈headDim / 8⌉][blockSize][8], panels that both products of attention read in place; in q8 their scales
 * [keys, values][⌈blockSize / 8⌉ · 8], as f32; fine and coarse keys [windows that end in a block][headDim], always f32.
 */
import { UnsupportedError, UsageError, dtypeInfo } from "@infllm/tensor";
import { checkCacheShape, windowLevels } from "@infllm/block-selection";
import type { LayerCache, LayerCacheShape } from "@infllm/block-selection";
import { cacheKind } from "../abi.ts";
import { aligned } from "./heap.ts";
import type { Allocation, Memory } from "./memory.ts";

export const headDims = { min: 1, max: 1024, multipleOf: 1 } as const;

export class CpuCache implements LayerCache {
  readonly bytes: number;
  readonly #parts: Readonly<Record<keyof PartBytes, Allocation>>;
  #released = false;

  constructor(
    private readonly memory: Memory,
    readonly shape: LayerCacheShape,
  ) {
    this.bytes = cacheBytes(shape);
    const parts = partBytes(shape);
    const taken: Allocation[] = [];
    const take = (what: string, bytes: number): Allocation => {
      const part = memory.take(`The ${what} of a layer's cache (${shape.pages} pages of ${shape.blockSize} tokens)`, bytes);
      taken.push(part);
      return part;
    };
    try {
      this.#parts = {
        keys: take("keys", parts.keys),
        values: take("values", parts.values),
        scales: take("scales", parts.scales),
        fine: take("fine keys", parts.fine),
        coarse: take("coarse keys", parts.coarse),
      };
    } catch (error) {
      for (const part of taken) part.give();
      throw error;
    }
  }

  /** Addresses of the parts. @throws UsageError after release */
  get addresses(): Readonly<Record<keyof PartBytes, number>> {
    if (this.#released) throw new UsageError("A layer cache is used after release().");
    const { keys, values, scales, fine, coarse } = this.#parts;
    return { keys: keys.at, values: values.at, scales: scales.at, fine: fine.at, coarse: coarse.at };
  }

  belongsTo(memory: Memory): boolean {
    return this.memory === memory;
  }

  release(): void {
    this.#released = true;
    for (const part of Object.values(this.#parts)) part.give();
  }
}

interface PartBytes {
  readonly keys: number;
  readonly values: number;
  readonly scales: number;
  readonly fine: number;
  readonly coarse: number;
}

export function cacheBytes(shape: LayerCacheShape): number {
  return Object.values(partBytes(shape)).reduce((sum: number, bytes: number) => sum + aligned(bytes), 0);
}

function partBytes(shape: LayerCacheShape): PartBytes {
  checkShape(shape);
  const { pages, kvHeads, headDim, blockSize, dtype } = shape;
  const heads = pages * kvHeads;
  const element = dtype === "q8" ? 1 : dtypeInfo(dtype).blockBytes;
  const slots = Math.ceil(blockSize / 8) * 8;
  const levels = shape.sparse === undefined ? undefined : windowLevels("allocateCache", shape);
  return {
    keys: heads * slots * headDim * element,
    values: heads * blockSize * Math.ceil(headDim / 8) * 8 * element,
    scales: dtype === "q8" ? heads * 2 * slots * 4 : 0,
    fine: heads * (levels?.fine.slots ?? 0) * headDim * 4,
    coarse: heads * (levels?.coarse.slots ?? 0) * headDim * 4,
  };
}

function checkShape(shape: LayerCacheShape): void {
  checkCacheShape(shape);
  const { headDim, dtype } = shape;
  if (headDim > headDims.max) {
    throw new UnsupportedError(`allocateCache: headDim ${headDim} is above ${headDims.max}, the most the cpu backend computes.`);
  }
  if (!Object.hasOwn(cacheKind, dtype)) {
    throw new UnsupportedError(`allocateCache: a cache of ${String(dtype)} is not supported; use ${Object.keys(cacheKind).join(", ")}.`);
  }
}
