/** Softmax attention of one query head over a list of tokens, in float64: what dense and sparse attention share. */
import { dot } from "@infllm/block-selection";

/** One query head and the KV head it reads. */
export interface QueryHead {
  /** f32 `[rows, heads, headDim]`; the head starts at element `from`. */
  readonly q: Float32Array;
  readonly from: number;
  readonly kvHead: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Multiplies q·k; usually 1 / √headDim. */
  readonly scale: number;
}

/** Keys and values of one sequence: f32 `[length, kvHeads, headDim]` each, keys after RoPE. */
export interface KeysAndValues {
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/**
 * Σ softmax(scale · q·k) · v over `tokens`.
 * @returns f64 `[headDim]`; NaN when `tokens` is empty
 */
export function attendTokens(head: QueryHead, { k, v }: KeysAndValues, tokens: Int32Array): Float64Array {
  const { q, from, kvHead, kvHeads, headDim, scale } = head;
  const weights = new Float64Array(tokens.length);
  let largest = -Infinity;
  for (let i = 0; i < tokens.length; i++) {
    const row = ((tokens[i] as number) * kvHeads + kvHead) * headDim;
    const logit = scale * dot(q, from, k, row, headDim);
    weights[i] = logit;
    largest = Math.max(largest, logit);
  }
  const out = new Float64Array(headDim);
  let total = 0;
  for (let i = 0; i < tokens.length; i++) {
    const weight = Math.exp((weights[i] as number) - largest);
    const row = ((tokens[i] as number) * kvHeads + kvHead) * headDim;
    total += weight;
    for (let d = 0; d < headDim; d++) out[d] = (out[d] as number) + weight * (v[row + d] as number);
  }
  return out.map((sum) => sum / total);
}
