/** Step 1: the mean key of every complete window (arXiv 2509.24663 §3.3). No parameters; keys are taken after RoPE. */
import { ShapeError } from "@infllm/tensor";
import { windowCount } from "./geometry.ts";

export interface KeyShape {
  readonly kvHeads: number;
  readonly headDim: number;
}

/** How far coarse windows (K2) exceed fine ones (K1), in size and in stride. */
export const COARSE_FACTOR = 4;

/**
 * Window j is the mean of keys `stride·j` to `stride·j + size − 1`; a window that is not complete does not exist.
 * The sum is made in f32, oldest key first, so that a window is the same to the bit whichever append completed it.
 *
 * @param keys f32 `[length, kvHeads, headDim]`
 * @returns f32 `[windowCount(length, size, stride), kvHeads, headDim]`
 * @throws ShapeError when `keys` is not a whole number of rows.
 */
export function compressKeys(keys: Float32Array, shape: KeyShape, size: number, stride: number): Float32Array {
  const width = shape.kvHeads * shape.headDim;
  const count = windowCount(rowCount("compressKeys: keys", keys, width), size, stride);
  const means = new Float32Array(count * width);
  for (let window = 0; window < count; window++) {
    const mean = means.subarray(window * width, (window + 1) * width);
    for (let token = window * stride; token < window * stride + size; token++) addRow(mean, keys, token * width);
    for (let i = 0; i < width; i++) mean[i] = (mean[i] as number) / size;
  }
  return means;
}

/** Rows of `width` in `data`. @throws ShapeError when they are not whole. */
export function rowCount(what: string, data: { readonly length: number }, width: number): number {
  if (!Number.isInteger(width) || width < 1 || data.length % width !== 0) {
    throw new ShapeError(`${what} holds ${data.length} numbers, which is no whole number of rows of ${width}.`);
  }
  return data.length / width;
}

function addRow(sum: Float32Array, data: Float32Array, from: number): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (data[from + i] as number);
}
