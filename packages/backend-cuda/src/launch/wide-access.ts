import type { CudaTensor } from "../cuda-tensor.ts";

/** 1 when rows of `columns` 16-bit elements can be read and written 16 bytes at a time in all of these, else 0. */
export function wideAccess(columns: number, ...tensors: readonly CudaTensor[]): 0 | 1 {
  const aligned = (tensor: CudaTensor): boolean =>
    tensor.address % 16 === 0 && (tensor.rowStride % 8 === 0 || tensor.rows <= 1);
  return columns % 8 === 0 && tensors.every(aligned) ? 1 : 0;
}
