/** The arithmetic of windows, blocks and pages: the only place where it is written. */
import type { SparseConfig } from "./config.ts";

/** Complete windows among the first `length` tokens. */
export function windowCount(length: number, size: number, stride: number): number {
  return length < size ? 0 : Math.floor((length - size) / stride) + 1;
}

/** Windows a query at `position` (0-based) may see: those that end at or before it. */
export function visibleWindows(position: number, size: number, stride: number): number {
  return windowCount(position + 1, size, stride);
}

export function blockCount(length: number, blockSize: number): number {
  return Math.ceil(length / blockSize);
}

/** Blocks before the diagonal one that are always visible. */
export function localBlocks(config: SparseConfig): number {
  return config.windowSize / config.blockSize;
}

/** Most blocks a query attends to, forced ones included: `topk` + local. */
export function blockBudget(config: SparseConfig): number {
  return config.topk + localBlocks(config);
}

/** Rows of windows a page holds: one, also where windows are so wide that not every page has one. */
export function windowsPerPage(blockSize: number, stride: number): number {
  return Math.max(1, blockSize / stride);
}

/** Where window `index` is stored: in the page of the block it ends in, so that a page never depends on later ones. */
export function windowSlot(
  index: number,
  size: number,
  stride: number,
  blockSize: number,
): { readonly block: number; readonly slot: number } {
  const end = index * stride + size - 1;
  return { block: Math.floor(end / blockSize), slot: Math.floor((end % blockSize) / stride) };
}
