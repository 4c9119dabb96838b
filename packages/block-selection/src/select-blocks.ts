/** Step 4: the blocks that one query row attends to. */
import type { SparseConfig } from "./config.ts";
import { blockBudget, localBlocks } from "./geometry.ts";

/** Blocks every row sees whatever they score: the first ones, its own, and the local window before its own. */
export function isForced(block: number, queryBlock: number, config: SparseConfig): boolean {
  const inWindow = block <= queryBlock && queryBlock <= block + localBlocks(config);
  return block < config.initBlocks || inWindow;
}

/**
 * Takes the `topk` + local best blocks up to the row's own: forced ones first, then by score, a tie to the lower id.
 * A NaN score ranks last.
 *
 * @param blockScores pooled scores, at least up to the block of `position`
 * @param position absolute position of the query row
 * @returns i32 `[blockBudget(config)]`: block ids, ascending, padded with −1
 */
export function selectBlocks(blockScores: Float64Array, position: number, config: SparseConfig): Int32Array {
  const budget = blockBudget(config);
  const queryBlock = Math.floor(position / config.blockSize);
  const candidates = Array.from({ length: queryBlock + 1 }, (_, block) => {
    const score = blockScores[block] as number;
    return { block, forced: isForced(block, queryBlock, config), score: Number.isNaN(score) ? -Infinity : score };
  });
  // Array.sort is stable and ids start ascending, so what compares equal keeps the lower id first.
  candidates.sort((a, b) => {
    if (a.forced !== b.forced) return a.forced ? -1 : 1;
    return a.forced || a.score === b.score ? 0 : b.score - a.score;
  });
  const chosen = candidates.slice(0, budget).map((candidate) => candidate.block);
  chosen.sort((a, b) => a - b);
  const indices = new Int32Array(budget).fill(-1);
  indices.set(chosen);
  return indices;
}
