/** Shapes are arrays of non-negative integers, row-major; `[]` is a single number. */
import { byteLength, dtypeInfo } from "./dtype.ts";
import type { DType } from "./dtype.ts";
import { ShapeError } from "./errors.ts";

/** For messages: `[2, 3]`. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** Numbers in a tensor. @throws ShapeError when an axis is no non-negative integer or the product exceeds 2^53 − 1 */
export function elementCount(shape: readonly number[]): number {
  let product = 1;
  for (const axis of shape) {
    if (!Number.isSafeInteger(axis) || axis < 0) {
      throw new ShapeError(`shape ${formatShape(shape)}: axis ${axis} is no non-negative integer.`);
    }
    product *= axis;
    // A later 0 must not hide an overflow: 2^60 × 0 is refused as well.
    if (product > Number.MAX_SAFE_INTEGER) {
      throw new ShapeError(`shape ${formatShape(shape)} has more than 2^53 − 1 elements.`);
    }
  }
  return product;
}

/** Elements from one index to the next along each axis: `[2, 3, 4]` → `[12, 4, 1]`. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[axis] = step;
    step *= shape[axis] as number;
  }
  return result;
}

/** Axes before the last as one number, and the last: `[2, 3, 4]` → 6 rows of 4; `[]` → 1 row of 1. */
export function asMatrix(shape: readonly number[]): { readonly rows: number; readonly columns: number } {
  const columns = shape.at(-1) ?? 1;
  return { rows: elementCount(shape.slice(0, -1)), columns };
}

/** @throws ShapeError unless `shape` equals `expected`; −1 in `expected` allows any length of that axis. */
export function assertShape(what: string, shape: readonly number[], expected: readonly number[]): void {
  const fits = shape.length === expected.length && expected.every((axis, i) => axis === -1 || axis === shape[i]);
  if (fits) return;
  const wanted = `[${expected.map((axis) => (axis === -1 ? "any" : axis)).join(", ")}]`;
  throw new ShapeError(`${what} has shape ${formatShape(shape)}; ${wanted} is needed.`);
}

/** Bytes of a row of `columns` numbers. @throws ShapeError when a quantised row is no whole number of blocks */
export function rowBytes(dtype: DType, columns: number): number {
  const { blockElements, blockBytes } = dtypeInfo(dtype);
  if (!Number.isSafeInteger(columns) || columns < 0) {
    throw new ShapeError(`A row of ${columns} ${dtype} numbers is impossible; columns must be a non-negative integer.`);
  }
  if (columns % blockElements !== 0) {
    throw new ShapeError(
      `${dtype} stores ${blockElements} numbers a block, so rows of ${columns} do not fit; ` +
        `use a multiple of ${blockElements} columns, or a type without blocks (f32, f16, bf16).`,
    );
  }
  return (columns / blockElements) * blockBytes;
}

/** Bytes of a tensor, whose rows run along the last axis. @throws ShapeError as `elementCount` and `rowBytes` do */
export function tensorBytes(dtype: DType, shape: readonly number[]): number {
  const elements = elementCount(shape);
  rowBytes(dtype, shape.at(-1) ?? 1);
  const bytes = byteLength(dtype, elements);
  if (bytes > Number.MAX_SAFE_INTEGER) {
    throw new ShapeError(`${dtype} ${formatShape(shape)} takes more than 2^53 − 1 bytes.`);
  }
  return bytes;
}
