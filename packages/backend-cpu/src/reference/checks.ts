/** Turns the arguments of an op into rows of host memory, or says what is wrong with them. */
import { ShapeError, UsageError, formatShape } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import { ReferenceTensor } from "./reference-tensor.ts";

/** A rectangle whose rows can be read and written in place. */
export interface Rows<A> {
  readonly rows: number;
  readonly columns: number;
  row(index: number): A;
}

/** What a matrix must be; a number left out may be anything. */
export interface Expected {
  readonly rows?: number | undefined;
  readonly columns?: number | undefined;
}

/** @throws UsageError (another backend's or no float tensor), ShapeError; `what` names op and argument: "linear: x". */
export function f32Rows(what: string, tensor: DeviceTensor, expected: Expected = {}): Rows<Float32Array> {
  const own = checkTensor(what, tensor, "f32", expected);
  return { rows: own.rows, columns: own.columns, row: (index) => own.row(index) as Float32Array };
}

/** As `f32Rows`, for i32. */
export function i32Rows(what: string, tensor: DeviceTensor, expected: Expected = {}): Rows<Int32Array> {
  const own = checkTensor(what, tensor, "i32", expected);
  return { rows: own.rows, columns: own.columns, row: (index) => own.row(index) as Int32Array };
}

/** A vector `[length]`, at least as long as asked, as one array read when called. */
export function i32Vector(what: string, tensor: DeviceTensor, atLeast: number): () => Int32Array {
  const own = checkTensor(what, tensor, "i32", { columns: 1 });
  if (own.rows < atLeast) throw new ShapeError(`${what} has ${own.rows} entries; ${atLeast} are needed.`);
  return () => own.toHost() as Int32Array;
}

/** A vector `[length]` of f32, read when called. */
export function f32Vector(what: string, tensor: DeviceTensor, length: number): () => Float32Array {
  const own = checkTensor(what, tensor, "f32", { rows: length, columns: 1 });
  return () => own.toHost() as Float32Array;
}

/** The tensor as this backend made it. @throws UsageError */
export function ownTensor(what: string, tensor: DeviceTensor): ReferenceTensor {
  if (!(tensor instanceof ReferenceTensor)) {
    throw new UsageError(`${what} was not allocated by this backend. Read it there and write it into a tensor made here.`);
  }
  return tensor;
}

function checkTensor(what: string, tensor: DeviceTensor, dtype: "f32" | "i32", { rows, columns }: Expected): ReferenceTensor {
  const own = ownTensor(what, tensor);
  if (own.dtype !== dtype) throw new UsageError(`${what} is ${own.dtype}; it must be ${dtype}.`);
  if ((rows ?? own.rows) !== own.rows || (columns ?? own.columns) !== own.columns) {
    const wanted = formatShape([rows ?? own.rows, columns ?? own.columns]);
    throw new ShapeError(`${what} has shape ${formatShape(own.shape)}; it must hold ${wanted}.`);
  }
  return own;
}
