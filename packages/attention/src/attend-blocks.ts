/** Block-sparse causal attention (arXiv 2509.24663 §3.3, stage 2), the reference. */
import { ShapeError } from "@infllm/tensor";
import { checkQueries } from "@infllm/block-selection";
import type { AttendDenseInput } from "./attend-dense.ts";
import { attendTokens } from "./attend-tokens.ts";
import { checkValues } from "./check-values.ts";

export interface AttendBlocksInput extends AttendDenseInput {
  readonly blockSize: number;
  /** i32 `[kvHeads, rows, budget]`: ascending blocks, −1 padded, none after the row's own. */
  readonly blockIndices: Int32Array;
}

/**
 * Every query row over the tokens of its blocks up to its own position.
 * @returns f64 `[rows, heads, headDim]`; NaN where a row was given no block
 * @throws ShapeError when arrays, heads, positions or indices do not fit together.
 */
export function attendBlocksReference(input: AttendBlocksInput): Float64Array {
  const { rows, positions } = checkQueries(input);
  checkValues(input);
  const { q, heads, kvHeads, headDim, blockSize, blockIndices } = input;
  const budget = blockIndices.length / (kvHeads * rows);
  if (!Number.isInteger(budget)) {
    throw new ShapeError(`blockIndices holds ${blockIndices.length} numbers; it is [kvHeads ${kvHeads}, rows ${rows}, budget].`);
  }
  const scale = input.scale ?? 1 / Math.sqrt(headDim);
  const out = new Float64Array(q.length);
  for (let row = 0; row < rows; row++) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const from = (kvHead * rows + row) * budget;
      const tokens = tokensOfBlocks(blockIndices.subarray(from, from + budget), blockSize, positions[row] as number);
      const group = heads / kvHeads;
      for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
        const at = (row * heads + head) * headDim;
        out.set(attendTokens({ q, from: at, kvHead, kvHeads, headDim, scale }, input, tokens), at);
      }
    }
  }
  return out;
}

/** The tokens of the listed blocks up to `position`, in order; the list ends at the first −1. */
export function tokensOfBlocks(blocks: Int32Array, blockSize: number, position: number): Int32Array {
  const tokens: number[] = [];
  for (const block of blocks) {
    if (block < 0) break;
    const end = Math.min((block + 1) * blockSize, position + 1);
    for (let token = block * blockSize; token < end; token++) tokens.push(token);
  }
  return Int32Array.from(tokens);
}
