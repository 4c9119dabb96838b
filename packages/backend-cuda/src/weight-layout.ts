/** How weights lie on the device: the layouts of kernels/dequantize.cuh, in bytes. */
import type { QuantizedDType, WeightDType } from "@infllm/tensor";

/** Columns of a unit; rows of block-quantised weights are filled up to whole units with zeros. */
const UNIT = 128;
/** Plain rows are filled up to a multiple of this, so that they start at multiples of 128 bytes. */
const PITCH = 64;

/** Rows of a tile of 4-bit weights in groups of a unit, and its bytes: quants, then a scale and a zero point a row. */
const TILE = { rows: 16, bytes: 16 * (UNIT / 2 + 4) } as const;

/** Bytes of one unit in the planes of quants, high bits, scale pairs and scales. */
const planes: Readonly<Record<Exclude<QuantizedDType, "q4_g128">, readonly number[]>> = {
  q8_0: [128, 0, 0, 8],
  q4_0: [64, 0, 0, 8],
  q4_1: [64, 0, 0, 16],
  q4_k: [64, 0, 8, 2],
  q5_k: [64, 16, 8, 2],
  q6_k: [64, 32, 8, 1],
};

export type PlainDType = Exclude<WeightDType, QuantizedDType>;

export function isPlain(dtype: WeightDType): dtype is PlainDType {
  return dtype === "f32" || dtype === "f16" || dtype === "bf16";
}

/** Elements from one plain row to the next. */
export function plainPitch(columns: number): number {
  return Math.ceil(columns / PITCH) * PITCH;
}

/** Bytes that a weight takes on the device. */
export function weightBytes(dtype: WeightDType, rows: number, columns: number): number {
  if (isPlain(dtype)) return rows * plainPitch(columns) * (dtype === "f32" ? 4 : 2);
  if (dtype === "q4_g128") return Math.ceil(rows / TILE.rows) * Math.ceil(columns / UNIT) * TILE.bytes;
  const units = rows * Math.ceil(columns / UNIT);
  return planes[dtype].reduce((sum, bytes) => sum + Math.ceil((units * bytes) / 16) * 16, 0);
}

/** Do rows lie on the device as they are stored? Then they are copied, else a kernel rearranges them. */
export function liesAsStored(dtype: WeightDType, columns: number): boolean {
  return isPlain(dtype) && plainPitch(columns) === columns;
}

/** Are there rows or columns past the matrix, which must be zero? */
export function isFilledUp(dtype: WeightDType, rows: number, columns: number): boolean {
  if (dtype === "q4_g128" && rows % TILE.rows !== 0) return true;
  return columns % (isPlain(dtype) ? PITCH : UNIT) !== 0;
}
