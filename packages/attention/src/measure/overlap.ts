/** How much two selections of blocks have in common. */
import { isForced } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";

/** |a ∩ b| / |a ∪ b| (Jaccard); 1 for two empty selections. */
export function overlap(a: readonly number[], b: readonly number[]): number {
  const [first, second] = [new Set(a), new Set(b)];
  const common = [...first].filter((block) => second.has(block)).length;
  const all = first.size + second.size - common;
  return all === 0 ? 1 : common / all;
}

/** The blocks that a query at `position` chose by score: what is selected without the first blocks and the local window. */
export function freeBlocks(blocks: readonly number[], position: number, config: SparseConfig): number[] {
  const own = Math.floor(position / config.blockSize);
  return blocks.filter((block) => !isForced(block, own, config));
}
