/** Stored bytes to f32 numbers and back, for every dtype. Bytes are little-endian, as is every platform of ours. */
import { isQuantized } from "./dtype.ts";
import type { DType, FloatDType } from "./dtype.ts";
import { ShapeError, UnsupportedError } from "./errors.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "./half.ts";
import { dequantize, quantizableDTypes, quantize } from "./quantize.ts";
import type { QuantizableDType } from "./quantize.ts";
import { repackQ4G128 } from "./q4-g128.ts";
import { rowBytes } from "./shape.ts";

/** What `fromF32` can write. */
export type EncodableDType = FloatDType | QuantizableDType;
export const encodableDTypes: readonly EncodableDType[] = ["f32", "f16", "bf16", ...quantizableDTypes];

export function isEncodable(dtype: DType): dtype is EncodableDType {
  return (encodableDTypes as readonly DType[]).includes(dtype);
}

/** A copy of the bytes at offset 0 of a buffer of their own, so that wider typed arrays can view it. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy.buffer;
}

/** The 16-bit words of `bytes`, without a copy where alignment allows. */
function words16(bytes: Uint8Array): Uint16Array {
  return bytes.byteOffset % 2 === 0
    ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
    : new Uint16Array(aligned(bytes));
}

/**
 * Decodes `elements` numbers. Integers above 2^24 round. The result never shares memory with `bytes`.
 * @throws ShapeError when `bytes` is not exactly as long as `elements` numbers, or quantised blocks are incomplete
 */
export function toF32(dtype: DType, bytes: Uint8Array, elements: number): Float32Array {
  assertBytes(dtype, bytes, elements);
  if (isQuantized(dtype)) return dequantize(dtype, bytes);
  switch (dtype) {
    case "f32":
      return new Float32Array(aligned(bytes));
    case "f16":
      return decodeF16(words16(bytes));
    case "bf16":
      return decodeBf16(words16(bytes));
    case "i32":
      return Float32Array.from(new Int32Array(aligned(bytes)));
    case "u32":
      return Float32Array.from(new Uint32Array(aligned(bytes)));
    case "u8":
      return Float32Array.from(bytes);
  }
}

/**
 * Encodes numbers; floats round to nearest, ties to even. Rows of a quantised type may be passed together as long as
 * each is whole blocks. The result never shares memory with `values`.
 * @throws ShapeError (incomplete block), FormatError (NaN or infinity in a quantised type), UnsupportedError (other dtypes)
 */
export function fromF32(dtype: DType, values: Float32Array): Uint8Array {
  switch (dtype) {
    case "f32":
      return new Uint8Array(values.slice().buffer);
    case "f16":
      return new Uint8Array(encodeF16(values).buffer);
    case "bf16":
      return new Uint8Array(encodeBf16(values).buffer);
    case "q8_0":
    case "q4_0":
    case "q4_1":
    case "q4_g128":
      rowBytes(dtype, values.length);
      return quantize(dtype, values);
    default:
      throw new UnsupportedError(`fromF32 cannot write ${dtype}; it can write ${encodableDTypes.join(", ")}.`);
  }
}

/**
 * Stored numbers in another type; the same bytes when it is the same type. Through f32, except where quants can be kept
 * as they are (`repackQ4G128`), so that nothing is rounded to another grid.
 * @throws as `toF32` and `fromF32` do
 */
export function convertStored(from: DType, to: DType, bytes: Uint8Array, elements: number): Uint8Array {
  if (from === to) return bytes;
  if (from === "q4_g128" && (to === "q4_1" || to === "q8_0")) {
    assertBytes(from, bytes, elements);
    return repackQ4G128(to, bytes);
  }
  return fromF32(to, toF32(from, bytes, elements));
}

function assertBytes(dtype: DType, bytes: Uint8Array, elements: number): void {
  const needed = rowBytes(dtype, elements);
  if (bytes.length === needed) return;
  throw new ShapeError(`${elements} numbers of ${dtype} take ${needed} bytes; ${bytes.length} were given.`);
}
