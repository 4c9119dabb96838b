/** Step 3: from window scores to block scores (arXiv 2509.24663 eq. 7, with the original kernels' pad on the left). */
import type { SparseConfig } from "./config.ts";

/**
 * Block b takes the largest score of the windows r·b − 1 to r·b + r − 1 that exist, r = blockSize / kernelStride:
 * those that start in the block, and one more that reaches into it. −Infinity where none exists.
 *
 * @param windowScores `[fine windows]`, as `scoreBlocks` makes them
 * @param blocks blocks wanted, usually `blockCount(length, blockSize)`
 * @returns f64 `[blocks]`
 */
export function poolScores(windowScores: Float64Array, blocks: number, config: SparseConfig): Float64Array {
  const perBlock = config.blockSize / config.kernelStride;
  const pooled = new Float64Array(blocks).fill(-Infinity);
  for (let block = 0; block < blocks; block++) {
    const first = Math.max(0, block * perBlock - 1);
    const end = Math.min(windowScores.length, (block + 1) * perBlock);
    for (let window = first; window < end; window++) {
      pooled[block] = Math.max(pooled[block] as number, windowScores[window] as number);
    }
  }
  return pooled;
}
