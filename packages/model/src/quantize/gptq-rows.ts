import { dtypeInfo, f32ToF16, groupGrid, nearestQuant, rowBytes } from "@infllm/tensor";
import type { GroupGrid } from "@infllm/tensor";

const { blockElements: GROUP, blockBytes: BLOCK_BYTES } = dtypeInfo("q4_g128");
/** Rows stepped through together, so that a row of U is read once for all of them. */
const ROWS = 16;

/**
 * Rows `[rows, n]` as q4_g128, each column rounded in turn and its error made up for by those after it, as far as their
 * inputs have to do with each other (GPTQ, arXiv 2210.17323, algorithm 1; in the order of columns, without act-order).
 * A group's grid is taken from what its numbers are when its first column comes. `weights` is overwritten.
 * @param factor U of `inverseFactor`, `[n, n]`
 */
export function gptqRows(weights: Float32Array, n: number, factor: Float64Array): Uint8Array {
  const bytes = rowBytes("q4_g128", n);
  const count = weights.length / n;
  const out = new Uint8Array(count * bytes);
  for (let first = 0; first < count; first += ROWS) {
    const rows = Math.min(ROWS, count - first);
    roundTogether(weights.subarray(first * n, (first + rows) * n), n, factor, out.subarray(first * bytes, (first + rows) * bytes));
  }
  return out;
}

function roundTogether(weights: Float32Array, n: number, factor: Float64Array, out: Uint8Array): void {
  const rows = weights.length / n;
  const bytes = out.length / rows;
  const grids: GroupGrid[] = [];
  for (let column = 0; column < n; column++) {
    const block = Math.floor(column / GROUP) * BLOCK_BYTES;
    const within = column % GROUP;
    const diagonal = factor[column * n + column] as number;
    for (let row = 0; row < rows; row++) {
      if (within === 0) {
        const grid = groupGrid(weights, row * n + column);
        grids[row] = grid;
        writeGrid(out, row * bytes + block, grid);
      }
      const grid = grids[row] as GroupGrid;
      const value = weights[row * n + column] as number;
      const quant = nearestQuant(value, grid);
      const at = row * bytes + block + 4 + (within >> 1);
      out[at] = (out[at] as number) | (quant << (4 * (within & 1)));
      pass((value - (quant - grid.zero) * grid.scale) / diagonal, weights, row * n, factor, column, n);
    }
  }
}

/** The error of a column to the columns after it. */
function pass(error: number, weights: Float32Array, row: number, factor: Float64Array, column: number, n: number): void {
  if (error === 0) return;
  const from = column * n;
  for (let j = column + 1; j < n; j++) weights[row + j] = (weights[row + j] as number) - error * (factor[from + j] as number);
}

function writeGrid(out: Uint8Array, at: number, { scale, zero }: GroupGrid): void {
  for (const [i, value] of [scale, zero].entries()) {
    const bits = f32ToF16(value);
    out[at + 2 * i] = bits & 255;
    out[at + 2 * i + 1] = bits >> 8;
  }
}
