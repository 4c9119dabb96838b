/** Where rows of a tensor lie in a file: what readers by rows have in common. */
import type { DType } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { asMatrix, formatShape, rowBytes } from "./shape.ts";

/** A tensor in a file. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
}

/**
 * The bytes `[from, to)` of rows `[rowFrom, rowTo)`, all rows by default. Rows run along the last axis.
 * @throws ShapeError, naming file and tensor, when the rows are out of range
 */
export function rowRange(
  file: string,
  name: string,
  { dtype, shape, offset }: StoredTensor,
  rowFrom = 0,
  rowTo?: number,
): { readonly from: number; readonly to: number } {
  const { rows, columns } = asMatrix(shape);
  const last = rowTo ?? rows;
  if (!Number.isInteger(rowFrom) || !Number.isInteger(last) || rowFrom < 0 || rowFrom > last || last > rows) {
    throw new ShapeError(`${file}: rows ${rowFrom} to ${last} of tensor "${name}" ${formatShape(shape)} were asked for; it has ${rows}.`);
  }
  const bytes = rowBytes(dtype, columns);
  return { from: offset + rowFrom * bytes, to: offset + last * bytes };
}
