/**
 * Step 2: how much one query row wants each window (arXiv 2509.24663 §3.3-3.4, Algorithm 1).
 *
 * A window's score is its softmax weight, exp(q·K1 − LSE), summed over the query heads that share a KV head. Heads
 * are summed as they are made, so one row needs one number per window, whatever the group size.
 */
import type { SparseConfig } from "./config.ts";
import { COARSE_FACTOR } from "./compress-keys.ts";
import { visibleWindows } from "./geometry.ts";
import { dot, logSumExp } from "./vectors.ts";

/** One query row and the KV head to score it against. */
export interface QueryRow {
  /** f32 `[heads, headDim]`, after RoPE */
  readonly q: Float32Array;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Query heads `kvHead · group` to `(kvHead + 1) · group − 1` are scored, with group = heads / kvHeads. */
  readonly kvHead: number;
  /** Absolute position: the row sees keys 0 to `position`. */
  readonly position: number;
  /** Multiplies q·k; usually 1 / √headDim. */
  readonly scale: number;
}

/** Mean keys as `compressKeys` makes them: f32 `[windows, kvHeads, headDim]`. */
export interface CompressedKeys {
  /** K1: `kernelSize` keys at `kernelStride` */
  readonly fine: Float32Array;
  /** K2: four times both. Not read when `lse` is "exact". */
  readonly coarse: Float32Array;
}

/**
 * Scores of all windows that exist, f64 `[fine windows]`. Windows that end after `position` score 0, and all do when
 * the row sees no window of the level that the LSE is taken over.
 */
export function scoreBlocks(row: QueryRow, keys: CompressedKeys, config: SparseConfig): Float64Array {
  const { kernelSize, kernelStride } = config;
  const width = row.kvHeads * row.headDim;
  const scores = new Float64Array(keys.fine.length / width);
  const fineVisible = Math.min(scores.length, visibleWindows(row.position, kernelSize, kernelStride));
  const coarseVisible = Math.min(
    keys.coarse.length / width,
    visibleWindows(row.position, COARSE_FACTOR * kernelSize, COARSE_FACTOR * kernelStride),
  );
  if (config.lse === "approx" && coarseVisible === 0) return scores;

  const group = row.heads / row.kvHeads;
  const fine = new Float64Array(fineVisible);
  const coarse = new Float64Array(coarseVisible);
  for (let head = row.kvHead * group; head < (row.kvHead + 1) * group; head++) {
    scaledDots(row, head, keys.fine, fine);
    if (config.lse === "approx") scaledDots(row, head, keys.coarse, coarse);
    const lse = config.lse === "approx" ? logSumExp(coarse, coarseVisible) : logSumExp(fine, fineVisible);
    for (let window = 0; window < fineVisible; window++) {
      scores[window] = (scores[window] as number) + Math.exp((fine[window] as number) - lse);
    }
  }
  return scores;
}

/** out[j] = scale · (query head · key j) for the first `out.length` keys of the row's KV head. */
function scaledDots(row: QueryRow, head: number, keys: Float32Array, out: Float64Array): void {
  const { headDim, kvHeads, kvHead } = row;
  for (let j = 0; j < out.length; j++) {
    out[j] = row.scale * dot(row.q, head * headDim, keys, (j * kvHeads + kvHead) * headDim, headDim);
  }
}
