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
  const errors = new Float64Array(GROUP);
  for (let group = 0; group < n; group += GROUP) {
    for (let row = 0; row < rows; row++) {
      roundGroup(weights, row * n, group, n, factor, errors, out, row * bytes + (group / GROUP) * BLOCK_BYTES);
      passOn(errors, weights, row * n, group, n, factor);
    }
  }
}

/** Rounds the columns of a group in turn, within which each error is passed on at once; leaves the errors in `errors`. */
function roundGroup(
  weights: Float32Array,
  row: number,
  group: number,
  n: number,
  factor: Float64Array,
  errors: Float64Array,
  out: Uint8Array,
  block: number,
): void {
  const grid = groupGrid(weights, row + group);
  writeGrid(out, block, grid);
  for (let within = 0; within < GROUP; within++) {
    const column = group + within;
    const value = weights[row + column] as number;
    const quant = nearestQuant(value, grid);
    const at = block + 4 + (within >> 1);
    out[at] = (out[at] as number) | (quant << (4 * (within & 1)));
    const error = (value - (quant - grid.zero) * grid.scale) / (factor[column * n + column] as number);
    errors[within] = error;
    const from = column * n;
    for (let j = column + 1; j < group + GROUP; j++) weights[row + j] = (weights[row + j] as number) - error * (factor[from + j] as number);
  }
}

/** The errors of a group to the columns after it, four at a time. */
function passOn(errors: Float64Array, weights: Float32Array, row: number, group: number, n: number, factor: Float64Array): void {
  for (let within = 0; within < GROUP; within += 4) {
    const a = errors[within] as number;
    const b = errors[within + 1] as number;
    const c = errors[within + 2] as number;
    const d = errors[within + 3] as number;
    const from = (group + within) * n;
    for (let j = group + GROUP; j < n; j++) {
      const ab = a * (factor[from + j] as number) + b * (factor[from + n + j] as number);
      const cd = c * (factor[from + 2 * n + j] as number) + d * (factor[from + 3 * n + j] as number);
      weights[row + j] = (weights[row + j] as number) - (ab + cd);
    }
  }
}

function writeGrid(out: Uint8Array, at: number, { scale, zero }: GroupGrid): void {
  for (const [i, value] of [scale, zero].entries()) {
    const bits = f32ToF16(value);
    out[at + 2 * i] = bits & 255;
    out[at + 2 * i + 1] = bits >> 8;
  }
}
