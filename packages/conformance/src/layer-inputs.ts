/** Inputs of one attention layer, clustered so that selection has something to choose. */
import { makeInputs } from "./cases.ts";
import type { CaseInputs } from "./cases.ts";
import type { HeadShape } from "./configs.ts";
import { mustBe } from "./compare.ts";

/** q, k and v for `length` positions, queries for all of them. */
export function layerInputs(seed: number, length: number, { heads, kvHeads, headDim }: HeadShape): CaseInputs {
  return makeInputs({ seed, kv_length: length, q_length: length, heads, kv_heads: kvHeads, head_dim: headDim });
}

/** Rows `[from, from + count)` of width `width`. */
export function rowRange(values: Float32Array, width: number, from: number, count: number): Float32Array {
  return values.subarray(from * width, (from + count) * width);
}

/** Positions worth looking at in a sequence: its ends, and both sides of windows' and blocks' edges. */
export function interestingPositions(length: number, more: readonly number[] = []): number[] {
  const near = [0, 1, 14, 15, 16, 30, 31, 32, 62, 63, 64, 65, 94, 95, 126, 127, 128, 129, 191, 192, 255, 256];
  const ends = [length - 66, length - 65, length - 64, length - 2, length - 1];
  const inside = [...near, ...ends, ...more].filter((position) => position >= 0 && position < length);
  return [...new Set(inside)].sort((a, b) => a - b);
}

/** A handful of them, where the positions are not the point. */
export function fewPositions(length: number, more: readonly number[] = []): number[] {
  const some = [0, 31, 63, 64, 127, 130, length - 2, length - 1, ...more];
  return [...new Set(some)].filter((position) => position >= 0 && position < length).sort((a, b) => a - b);
}

/** Largest Σ|q·k| · scale of any query head with any key of its KV head, bounded by the vectors' largest elements. */
export function largestLogit(q: ArrayLike<number>, k: ArrayLike<number>, headDim: number, scale: number): number {
  return largestNorm(q, headDim) * largestNorm(k, headDim) * scale;
}

/** Largest length of the vectors of `width` numbers: by Cauchy-Schwarz, Σ|q·k| ≤ |q| |k|. */
function largestNorm(values: ArrayLike<number>, width: number): number {
  let largest = 0;
  for (let from = 0; from < values.length; from += width) {
    let squares = 0;
    for (let i = from; i < from + width; i++) squares += mustBe(values[i]) ** 2;
    largest = Math.max(largest, squares);
  }
  return Math.sqrt(largest);
}
