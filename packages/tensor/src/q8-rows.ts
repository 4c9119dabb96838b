/**
 * Rows of 8-bit integers with one f16 scale a row: how a KV cache of type `q8` keeps the key or value of one token and KV
 * head. An element is scale · q, exact in binary32, with q from −127 to 127.
 *
 * scale = f16(largest magnitude / 127), at most the largest f16; q = element / scale, in binary32, rounded to nearest, ties
 * to even. A scale of 0 makes q 0. A NaN anywhere makes the scale NaN, and with it the whole row.
 */
import { ShapeError } from "./errors.ts";
import { decodeF16, f16ToF32, f32ToF16 } from "./half.ts";

/** Bytes of a row's scale. */
export const Q8_SCALE_BYTES = 2;

const LARGEST = 127;
const F16_INFINITY = 0x7c00;
const F16_LARGEST = 0x7bff;
/** 1.5 · 2^23: what is added to it is rounded to a whole number. */
const ROUNDING = 12582912;

export interface Q8Rows {
  /** `[rows, width]` */
  readonly quants: Int8Array;
  /** f16 `[rows]` */
  readonly scales: Uint16Array;
}

/** @throws ShapeError unless `values` are whole rows of `width` */
export function encodeQ8Rows(values: Float32Array, width: number): Q8Rows {
  const rows = rowsOf(values, width);
  const quants = new Int8Array(values.length);
  const scales = new Uint16Array(rows);
  for (let row = 0; row < rows; row++) {
    const own = values.subarray(row * width, (row + 1) * width);
    const bits = f32ToF16(own.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / LARGEST);
    scales[row] = bits === F16_INFINITY ? F16_LARGEST : bits;
    const scale = f16ToF32(scales[row] as number);
    if (!(scale > 0)) continue;
    for (let i = 0; i < width; i++) quants[row * width + i] = toQuant((own[i] as number) / scale);
  }
  return { quants, scales };
}

/** f32 `[rows, width]` @throws ShapeError unless there is one scale a row */
export function decodeQ8Rows({ quants, scales }: Q8Rows, width: number): Float32Array {
  const rows = rowsOf(quants, width);
  if (rows !== scales.length) throw new ShapeError(`decodeQ8Rows: ${rows} rows of ${width} numbers have ${scales.length} scales; each needs one.`);
  const factors = decodeF16(scales);
  return Float32Array.from(quants, (quant, i) => quant * (factors[Math.floor(i / width)] as number));
}

/** The numbers as rows of q8 hold them. @throws ShapeError */
export function roundedToQ8(values: Float32Array, width: number): Float32Array {
  return decodeQ8Rows(encodeQ8Rows(values, width), width);
}

function toQuant(ratio: number): number {
  const bounded = Math.min(LARGEST, Math.max(-LARGEST, Math.fround(ratio)));
  return Math.fround(bounded + ROUNDING) - ROUNDING;
}

function rowsOf(values: { readonly length: number }, width: number): number {
  const rows = values.length / width;
  if (Number.isInteger(rows)) return rows;
  throw new ShapeError(`${values.length} numbers are no whole number of rows of ${width}.`);
}
