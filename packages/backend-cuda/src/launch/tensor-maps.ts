/** The tensors that the Hopper kernels load with the copy engine. */
import type { Machine } from "../machine.ts";

const ELEMENT_BYTES = 2;

/** Rows of `headDim` elements one after the other, in tiles of 64. */
export function rowsMap(machine: Machine, dtype: "bf16" | "f16", address: number, rows: number, headDim: number): Uint8Array {
  return machine.tensorMap({ dtype, address, dims: [headDim, rows], strides: [headDim * ELEMENT_BYTES], box: [64, 64] });
}

/** A matrix `[rows, columns]` whose rows start at multiples of 16 bytes, in tiles of `tileRows` x 64; outside it copies give 0. */
export function matrixMap(
  machine: Machine,
  dtype: "bf16" | "f16",
  { address, rowStride }: { readonly address: number; readonly rowStride: number },
  [rows, columns]: readonly [number, number],
  tileRows: number,
): Uint8Array {
  return machine.tensorMap({ dtype, address, dims: [columns, rows], strides: [rowStride * ELEMENT_BYTES], box: [64, tileRows] });
}

export interface QueryShape {
  readonly rows: number;
  readonly heads: number;
  readonly headDim: number;
}

/** Queries `[rows, heads, headDim]`; a tile holds the heads of a row together, or ("rows first") the rows of a head. */
export function queriesMap(
  machine: Machine,
  dtype: "bf16" | "f16",
  address: number,
  { rows, heads, headDim }: QueryShape,
  box: readonly [number, number, number],
  order: "heads first" | "rows first",
): Uint8Array {
  const head = headDim * ELEMENT_BYTES;
  const row = heads * head;
  return machine.tensorMap({
    dtype,
    address,
    box,
    dims: order === "rows first" ? [headDim, rows, heads] : [headDim, heads, rows],
    strides: order === "rows first" ? [row, head] : [head, row],
  });
}
