/**
 * `q4_g128`: 4 bits a number, 128 columns sharing a scale and a zero point, as GPTQ and AWQ checkpoints of group size
 * 128 hold them. A block has 68 bytes:
 *
 *   0…1   f16 scale
 *   2…3   f16 zero point, an integer 0…16 (GPTQ stores zero points less one, so that 16 occurs)
 *   4…67  quants: byte j holds element 2j in its low nibble and element 2j + 1 in its high nibble
 *
 * x = (quant − zero) · scale, which f32 holds exactly; rounded to f16 it is what f16 kernels of these formats compute.
 */
import { byte, half, range, writeHalf } from "./block-bytes.ts";
import type { DecodeBlock, EncodeBlock } from "./block-bytes.ts";
import { dtypeInfo } from "./dtype.ts";

const { blockElements: GROUP, blockBytes: BLOCK_BYTES } = dtypeInfo("q4_g128");
const QUANTS = 4;

export const decodeQ4G128: DecodeBlock = (data, at, out, to) => {
  const scale = half(data, at);
  const zero = half(data, at + 2);
  for (let j = 0; j < GROUP / 2; j++) {
    const pair = byte(data, at + QUANTS + j);
    out[to + 2 * j] = ((pair & 15) - zero) * scale;
    out[to + 2 * j + 1] = ((pair >> 4) - zero) * scale;
  }
};

/** Scale and zero point of a group. */
export interface GroupGrid {
  /** Representable in f16. */
  readonly scale: number;
  readonly zero: number;
}

/**
 * The grid that covers a group of numbers from smallest to largest, and 0. The zero point lies in 1…15: other
 * programs' kernels read a stored 0 or 16 in different ways.
 * @throws FormatError on NaN, infinity and scales beyond f16
 */
export function groupGrid(values: Float32Array, from: number): GroupGrid {
  const { min, max } = range(values, from, GROUP);
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  const stored = new Uint8Array(2);
  // With the zero point at 1, 14 steps are left above it.
  writeHalf(stored, 0, Math.max((high - low) / 15, high / 14), "q4_g128");
  const scale = half(stored, 0);
  if (scale === 0) return { scale, zero: 8 };
  return { scale, zero: Math.min(15, Math.max(1, Math.round(-low / scale))) };
}

/** The quant 0…15 whose number lies nearest to `value`. */
export function nearestQuant(value: number, { scale, zero }: GroupGrid): number {
  if (scale === 0) return zero;
  return Math.min(15, Math.max(0, Math.round(value / scale) + zero));
}

export const encodeQ4G128: EncodeBlock = (values, from, data, at) => {
  const grid = groupGrid(values, from);
  writeHalf(data, at, grid.scale, "q4_g128");
  writeHalf(data, at + 2, grid.zero, "q4_g128");
  for (let j = 0; j < GROUP / 2; j++) {
    const low = nearestQuant(values[from + 2 * j] as number, grid);
    const high = nearestQuant(values[from + 2 * j + 1] as number, grid);
    data[at + QUANTS + j] = low | (high << 4);
  }
};

/**
 * The same numbers in a GGUF type, for backends without `q4_g128`. Quants stay as they are, nothing is quantised anew:
 * exact in q8_0, and in q4_1 up to the rounding of zero · scale to f16 (none where the zero point is a power of two, as
 * the 8 of symmetric checkpoints; else at most 1/256 of a step for each 8 of the zero point).
 */
export function repackQ4G128(dtype: "q4_1" | "q8_0", data: Uint8Array): Uint8Array {
  const { blockElements, blockBytes } = dtypeInfo(dtype);
  const perGroup = GROUP / blockElements;
  const groups = data.length / BLOCK_BYTES;
  const out = new Uint8Array(groups * perGroup * blockBytes);
  const repack = dtype === "q4_1" ? repackAsQ41 : repackAsQ80;
  for (let block = 0; block < groups * perGroup; block++) {
    const group = Math.floor(block / perGroup) * BLOCK_BYTES;
    repack(data, group, (block % perGroup) * blockElements, out, block * blockBytes);
  }
  return out;
}

/** Writes the block of the 32 elements from `first` on of the group at byte `group`. */
type RepackBlock = (data: Uint8Array, group: number, first: number, out: Uint8Array, at: number) => void;

function quant(data: Uint8Array, group: number, element: number): number {
  return (byte(data, group + QUANTS + (element >> 1)) >> ((element & 1) * 4)) & 15;
}

const repackAsQ41: RepackBlock = (data, group, first, out, at) => {
  out.set(data.subarray(group, group + 2), at);
  writeHalf(out, at + 2, -half(data, group + 2) * half(data, group), "q4_1");
  for (let i = 0; i < 16; i++) {
    out[at + 4 + i] = quant(data, group, first + i) | (quant(data, group, first + 16 + i) << 4);
  }
};

const repackAsQ80: RepackBlock = (data, group, first, out, at) => {
  const zero = half(data, group + 2);
  out.set(data.subarray(group, group + 2), at);
  for (let i = 0; i < 32; i++) out[at + 2 + i] = quant(data, group, first + i) - zero;
};
