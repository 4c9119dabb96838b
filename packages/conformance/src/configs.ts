/** Sparse configs and head shapes that the cache and attention cases run over. */
import { sparseConfig } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import type { Capabilities } from "@infllm/tensor";

/** Small numbers, so that short sequences select; blocks of 32, 64 and 128 tokens and odd window shapes. */
export const testConfigs: Readonly<Record<string, SparseConfig>> = {
  "blocks of 64": sparseConfig({ windowSize: 128, topk: 3, denseLen: 0 }),
  "blocks of 64, exact LSE": sparseConfig({ windowSize: 64, topk: 2, lse: "exact", denseLen: 0 }),
  "blocks of 32": sparseConfig({ kernelSize: 16, kernelStride: 8, blockSize: 32, windowSize: 64, topk: 4, denseLen: 0 }),
  "blocks of 128": sparseConfig({ blockSize: 128, windowSize: 128, topk: 2, denseLen: 0 }),
  "windows that do not overlap": sparseConfig({ kernelSize: 16, kernelStride: 16, windowSize: 64, topk: 3, initBlocks: 2, denseLen: 0 }),
  "windows wider than a block": sparseConfig({ kernelSize: 64, kernelStride: 32, blockSize: 32, windowSize: 32, topk: 3, denseLen: 0 }),
  "no local and no first blocks": sparseConfig({ windowSize: 0, initBlocks: 0, topk: 2, lse: "exact", denseLen: 0 }),
};

export interface HeadShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

const heads: readonly HeadShape[] = [
  { heads: 1, kvHeads: 1, headDim: 8 },
  { heads: 4, kvHeads: 2, headDim: 64 },
  { heads: 3, kvHeads: 1, headDim: 24 },
  { heads: 16, kvHeads: 1, headDim: 64 },
  { heads: 2, kvHeads: 2, headDim: 40 },
  { heads: 32, kvHeads: 2, headDim: 128 },
  { heads: 5, kvHeads: 1, headDim: 80 },
  { heads: 4, kvHeads: 1, headDim: 256 },
];

/** The shapes that a backend says it supports. */
export function headShapes({ headDim: { min, max, multipleOf } }: Capabilities): readonly HeadShape[] {
  const fits = heads.filter(({ headDim }) => headDim >= min && headDim <= max && headDim % multipleOf === 0);
  if (fits.length === 0) throw new Error(`No test shape has a head_dim from ${min} to ${max} in steps of ${multipleOf}.`);
  return fits;
}

/** The supported shape nearest to head_dim 64 with a group of 4: for cases where the shape is not the point. */
export function plainShape(capabilities: Capabilities): HeadShape {
  const near = [...headShapes(capabilities)].sort((a, b) => Math.abs(a.headDim - 64) - Math.abs(b.headDim - 64));
  return { ...(near[0] ?? { headDim: 64 }), heads: 4, kvHeads: 2 };
}

export function shapeName({ heads: count, kvHeads, headDim }: HeadShape): string {
  return `${count}/${kvHeads} heads of ${headDim}`;
}
