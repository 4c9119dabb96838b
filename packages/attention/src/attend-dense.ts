/** Dense causal attention, the reference. */
import { checkQueries } from "@infllm/block-selection";
import type { SelectForQueriesInput } from "@infllm/block-selection";
import { attendTokens } from "./attend-tokens.ts";
import { checkValues } from "./check-values.ts";

export interface AttendDenseInput extends Omit<SelectForQueriesInput, "config"> {
  /** f32 `[length, kvHeads, headDim]` */
  readonly v: Float32Array;
}

/**
 * Every query row over all tokens up to its own position.
 * @returns f64 `[rows, heads, headDim]`
 * @throws ShapeError when arrays, heads or positions do not fit together.
 */
export function attendDenseReference(input: AttendDenseInput): Float64Array {
  const { rows, positions } = checkQueries(input);
  checkValues(input);
  const { q, heads, kvHeads, headDim } = input;
  const scale = input.scale ?? 1 / Math.sqrt(headDim);
  const out = new Float64Array(q.length);
  for (let row = 0; row < rows; row++) {
    const tokens = Int32Array.from({ length: (positions[row] as number) + 1 }, (_, token) => token);
    for (let head = 0; head < heads; head++) {
      const from = (row * heads + head) * headDim;
      const kvHead = Math.floor(head / (heads / kvHeads));
      out.set(attendTokens({ q, from, kvHead, kvHeads, headDim, scale }, input, tokens), from);
    }
  }
  return out;
}
