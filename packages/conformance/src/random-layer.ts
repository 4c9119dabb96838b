/** Random, valid combinations of head shape, sparse config and length. */
import { sparseConfig } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import type { Capabilities, Random } from "@infllm/tensor";
import { mustBe } from "./compare.ts";
import type { HeadShape } from "./configs.ts";

export interface RandomLayer {
  readonly shape: HeadShape;
  readonly config: SparseConfig;
  readonly length: number;
}

export function randomLayer({ below }: Random, { headDim: dims }: Capabilities): RandomLayer {
  const pick = <T>(values: readonly T[]): T => mustBe(values[below(values.length)]);
  const kvHeads = 1 + below(3);
  const step = Math.max(8, dims.multipleOf);
  const least = Math.ceil(Math.max(8, dims.min) / step);
  const headDim = step * (least + below(Math.floor(Math.min(128, dims.max) / step) - least + 1));
  const blockSize = pick([32, 64, 128]);
  const kernelStride = pick([8, 16, 32].filter((stride) => (4 * stride) % blockSize === 0 || blockSize % (4 * stride) === 0));
  const initBlocks = below(3);
  const config = sparseConfig({
    blockSize,
    kernelStride,
    kernelSize: kernelStride * (1 + below(3)),
    initBlocks,
    windowSize: blockSize * below(4),
    topk: initBlocks + 1 + below(5),
    lse: pick(["exact", "approx"] as const),
    denseLen: 0,
  });
  return { shape: { heads: kvHeads * pick([1, 2, 3, 4, 7, 16]), kvHeads, headDim }, config, length: 1 + below(900) };
}
