/** Reading and writing the bytes of quantised blocks. */
import { FormatError } from "./errors.ts";
import { f16ToF32, f32ToF16 } from "./half.ts";

/** Reads one block at byte `at` into `out` from element `to` on. */
export type DecodeBlock = (data: Uint8Array, at: number, out: Float32Array, to: number) => void;
/** Writes the block of the numbers from `from` on at byte `at`. @throws FormatError (NaN, infinity) */
export type EncodeBlock = (values: Float32Array, from: number, data: Uint8Array, at: number) => void;

export function byte(data: Uint8Array, at: number): number {
  return data[at] as number;
}

export function signedByte(data: Uint8Array, at: number): number {
  return ((data[at] as number) << 24) >> 24;
}

/** The f16 at byte `at`. */
export function half(data: Uint8Array, at: number): number {
  return f16ToF32(byte(data, at) | (byte(data, at + 1) << 8));
}

/** The f16 scale, refused when the numbers are NaN, infinite or too large for it. */
export function writeHalf(data: Uint8Array, at: number, value: number, dtype: string): void {
  const bits = f32ToF16(value);
  if ((bits & 0x7c00) === 0x7c00) {
    throw new FormatError(
      `${dtype} cannot store NaN, infinite or very large numbers (a block needs the scale ${value}, an f16 reaches ` +
        `65504). Check the tensor for NaN, or keep it as f32 or bf16.`,
    );
  }
  data[at] = bits & 255;
  data[at + 1] = bits >> 8;
}

/** Of `count` numbers; both NaN when one of them is. */
export function range(values: Float32Array, from: number, count: number): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < count; i++) {
    const value = values[from + i] as number;
    // A NaN fails both comparisons of an ordinary search, so it is looked for.
    if (Number.isNaN(value)) return { min: NaN, max: NaN };
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}
