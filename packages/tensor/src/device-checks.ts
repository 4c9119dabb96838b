/** What every backend checks about tensors and weights, written once. */
import type { HostArray, Region, WeightMatrix } from "./backend.ts";
import { dtypeInfo } from "./dtype.ts";
import type { DType, WeightDType } from "./dtype.ts";
import { ShapeError, UnsupportedError } from "./errors.ts";
import { elementCount, formatShape, rowBytes } from "./shape.ts";

/** A host array of the dtype's own bits, `length` elements (bytes for quantised types), all zero. */
export function emptyArray(dtype: DType, length: number): HostArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(length);
    case "i32":
      return new Int32Array(length);
    case "u32":
      return new Uint32Array(length);
    case "f16":
    case "bf16":
      return new Uint16Array(length);
    default:
      return new Uint8Array(length);
  }
}

export interface RegionBounds {
  readonly rows: readonly [from: number, to: number];
  readonly columns: readonly [from: number, to: number];
}

/** The rectangle that `region` names in a tensor of this shape; whole axes where it is silent. @throws ShapeError */
export function regionBounds(shape: readonly number[], region: Region): RegionBounds {
  return {
    rows: span("rows", region.rows, shape[0] ?? 1, shape),
    columns: span("columns", region.columns, elementCount(shape.slice(1)), shape),
  };
}

function span(
  axis: string,
  given: readonly [number, number] | undefined,
  size: number,
  shape: readonly number[],
): readonly [number, number] {
  if (given === undefined) return [0, size];
  const [from, to] = given;
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to < from || to > size) {
    throw new ShapeError(`view: ${axis} [${from}, ${to}) are not inside a tensor of ${formatShape(shape)}, which has ${size}.`);
  }
  return given;
}

/** @throws ShapeError when it is no matrix, UnsupportedError when rows are not whole blocks of the dtype */
export function checkWeightShape(rows: number, columns: number, dtype: WeightDType): void {
  if (!Number.isInteger(rows) || !Number.isInteger(columns) || rows < 1 || columns < 1) {
    throw new ShapeError(`allocateWeight: [${rows}, ${columns}] is no matrix; both must be positive integers.`);
  }
  const { blockElements } = dtypeInfo(dtype);
  if (columns % blockElements !== 0) {
    throw new UnsupportedError(
      `allocateWeight: ${columns} columns cannot be stored as ${dtype}, whose blocks hold ${blockElements} numbers. Use f16 or bf16.`,
    );
  }
}

/** Rows that `data` holds for `writeRows(from, data)`. @throws ShapeError when they are not whole or not inside */
export function writtenRows(weight: WeightMatrix, from: number, data: Uint8Array): number {
  const bytes = rowBytes(weight.dtype, weight.columns);
  const count = data.length / bytes;
  if (!Number.isInteger(count) || !Number.isInteger(from) || from < 0 || from + count > weight.rows) {
    throw new ShapeError(
      `writeRows: ${data.length} bytes at row ${from} are not whole rows of ${bytes} bytes (${weight.dtype}) inside ${weight.rows} rows.`,
    );
  }
  return count;
}
