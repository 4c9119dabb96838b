/** What every backend checks about tensors and weights, written once. */
import type { HostArray, Region, WeightMatrix } from "./backend.ts";
import { dtypeInfo, isQuantized } from "./dtype.ts";
import type { DType, WeightDType } from "./dtype.ts";
import { ShapeError, UnsupportedError, UsageError } from "./errors.ts";
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

/** What the checks below read of a backend's own tensor: `rows` is `shape[0]`, `columns` the product of the rest. */
export interface RowTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly rows: number;
  readonly columns: number;
}

/** @throws UnsupportedError for quantised types, which only weights have */
export function checkTensorType(dtype: DType): void {
  if (isQuantized(dtype)) throw new UnsupportedError(`allocate: ${dtype} is for weights only; use neural.allocateWeight.`);
}

/** Rows that `data` holds for `write(tensor, data, rowOffset)`. @throws ShapeError for another array type, rows not whole or not inside */
export function writtenTensorRows({ dtype, shape, rows, columns }: RowTensor, data: HostArray, rowOffset: number): number {
  const own = emptyArray(dtype, 0).constructor;
  if (data.constructor !== own) {
    throw new ShapeError(`write: a tensor of ${dtype} takes ${own.name} data; ${data.constructor.name} was given.`);
  }
  const count = columns === 0 ? 0 : data.length / columns;
  if (!Number.isInteger(count) || !Number.isInteger(rowOffset) || rowOffset < 0 || rowOffset + count > rows) {
    throw new ShapeError(`write: ${data.length} numbers at row ${rowOffset} are not whole rows inside a tensor of ${formatShape(shape)}.`);
  }
  return count;
}

/** What a matrix must be; a number left out may be anything. */
export interface ExpectedMatrix {
  readonly rows?: number | undefined;
  readonly columns?: number | undefined;
}

/** `what` names op and argument: "linear: x". @throws UsageError when its type is not among `dtypes`, ShapeError */
export function checkMatrix<Tensor extends RowTensor>(
  what: string,
  tensor: Tensor,
  dtypes: readonly DType[],
  { rows = tensor.rows, columns = tensor.columns }: ExpectedMatrix = {},
): Tensor {
  if (!dtypes.includes(tensor.dtype)) throw new UsageError(`${what} is ${tensor.dtype}; it must be ${dtypes.join(" or ")}.`);
  if (rows !== tensor.rows || columns !== tensor.columns) {
    throw new ShapeError(`${what} has shape ${formatShape(tensor.shape)}; it must hold ${formatShape([rows, columns])}.`);
  }
  return tensor;
}

/** An i32 vector with room for `atLeast` entries, of which the rest are ignored. @throws UsageError, ShapeError */
export function checkIndices<Tensor extends RowTensor>(what: string, tensor: Tensor, atLeast: number): Tensor {
  checkMatrix(what, tensor, ["i32"], { columns: 1 });
  if (tensor.rows < atLeast) throw new ShapeError(`${what} has ${tensor.rows} entries; ${atLeast} are needed.`);
  return tensor;
}

/** What a tensor `[kvHeads, capacity ≥ rows, columns]` must be; any number of columns when they are left out. */
export interface ExpectedPerHead {
  readonly dtype: "i32" | "f32";
  readonly kvHeads: number;
  readonly rows: number;
  readonly columns?: number;
}

/** The tensor, and what its axes turn out to be. @throws ShapeError */
export function checkPerHead<Tensor extends RowTensor>(
  what: string,
  tensor: Tensor,
  { dtype, kvHeads, rows, columns: wanted }: ExpectedPerHead,
): { readonly tensor: Tensor; readonly capacity: number; readonly columns: number } {
  const [heads, capacity = 0, columns = 0] = tensor.shape;
  const fits = heads === kvHeads && capacity >= rows && columns === (wanted ?? columns);
  if (tensor.dtype !== dtype || tensor.shape.length !== 3 || !fits) {
    throw new ShapeError(
      `${what} is ${tensor.dtype} ${formatShape(tensor.shape)}; it must be ${dtype} [${kvHeads}, ${rows} or more, ${wanted ?? "blocks"}].`,
    );
  }
  return { tensor, capacity, columns };
}
