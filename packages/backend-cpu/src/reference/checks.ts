/** Turns the arguments of an op into rows of host memory, or says what is wrong with them. */
import { UsageError, checkIndices, checkMatrix } from "@infllm/tensor";
import type { DeviceTensor, ExpectedMatrix } from "@infllm/tensor";
import { ReferenceTensor } from "./reference-tensor.ts";

/** A rectangle whose rows can be read and written in place. */
export interface Rows<A> {
  readonly rows: number;
  readonly columns: number;
  row(index: number): A;
}

/** @throws UsageError (another backend's or no float tensor), ShapeError; `what` names op and argument: "linear: x". */
export function f32Rows(what: string, tensor: DeviceTensor, expected?: ExpectedMatrix): Rows<Float32Array> {
  const own = checkMatrix(what, ownTensor(what, tensor), ["f32"], expected);
  return { rows: own.rows, columns: own.columns, row: (index) => own.row(index) as Float32Array };
}

/** As `f32Rows`, for i32. */
export function i32Rows(what: string, tensor: DeviceTensor, expected?: ExpectedMatrix): Rows<Int32Array> {
  const own = checkMatrix(what, ownTensor(what, tensor), ["i32"], expected);
  return { rows: own.rows, columns: own.columns, row: (index) => own.row(index) as Int32Array };
}

/** A vector `[length]`, at least as long as asked, as one array read when called. */
export function i32Vector(what: string, tensor: DeviceTensor, atLeast: number): () => Int32Array {
  const own = checkIndices(what, ownTensor(what, tensor), atLeast);
  return () => own.toHost() as Int32Array;
}

/** A vector `[length]` of f32, read when called. */
export function f32Vector(what: string, tensor: DeviceTensor, length: number): () => Float32Array {
  const own = checkMatrix(what, ownTensor(what, tensor), ["f32"], { rows: length, columns: 1 });
  return () => own.toHost() as Float32Array;
}

/** The tensor as this backend made it. @throws UsageError */
export function ownTensor(what: string, tensor: DeviceTensor): ReferenceTensor {
  if (!(tensor instanceof ReferenceTensor)) {
    throw new UsageError(`${what} was not allocated by this backend. Read it there and write it into a tensor made here.`);
  }
  return tensor;
}
