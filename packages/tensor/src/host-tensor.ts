import type { HostArray } from "./backend.ts";
import { toF32 } from "./convert.ts";
import type { DType } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { elementCount, formatShape, tensorBytes } from "./shape.ts";

/** A tensor in host memory: row-major, little-endian, rows of quantised types in whole blocks. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * Shape and data together, without a copy. `data` holds the dtype's own bits: bytes, or an array of the dtype's
 * element type (f16 and bf16 as `Uint16Array`).
 * @throws ShapeError when the data is longer or shorter than the shape needs
 */
export function hostTensor(dtype: DType, shape: readonly number[], data: HostArray): HostTensor {
  const needed = tensorBytes(dtype, shape);
  if (data.byteLength !== needed) {
    throw new ShapeError(
      `A tensor of ${dtype} ${formatShape(shape)} takes ${needed} bytes; ${data.byteLength} were given.`,
    );
  }
  return { dtype, shape: [...shape], data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** The numbers as f32, in a new array. */
export function hostF32(tensor: HostTensor): Float32Array {
  return toF32(tensor.dtype, tensor.data, elementCount(tensor.shape));
}

/** The data as `Backend.write` takes it: an array of the dtype's elements. Copies only where alignment demands it. */
export function hostArray(tensor: HostTensor): HostArray {
  const { dtype, data } = tensor;
  const width = dtype === "f16" || dtype === "bf16" ? 2 : dtype === "f32" || dtype === "i32" || dtype === "u32" ? 4 : 1;
  const { buffer, byteOffset, length } = data.byteOffset % width === 0 ? data : new Uint8Array(data);
  switch (dtype) {
    case "f32":
      return new Float32Array(buffer, byteOffset, length / 4);
    case "i32":
      return new Int32Array(buffer, byteOffset, length / 4);
    case "u32":
      return new Uint32Array(buffer, byteOffset, length / 4);
    case "f16":
    case "bf16":
      return new Uint16Array(buffer, byteOffset, length / 2);
    default:
      return data;
  }
}
