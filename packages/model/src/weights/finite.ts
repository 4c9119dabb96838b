import { FormatError, dtypeInfo } from "@infllm/tensor";
import type { DType, FloatDType } from "@infllm/tensor";

/** Where the f16 scales of a quantised block lie, in bytes from its start. */
const scaleOffsets: Partial<Record<DType, readonly number[]>> = {
  q8_0: [0],
  q4_0: [0],
  q4_1: [0, 2],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
  q4_g128: [0, 2],
};

/**
 * Exponent bits of all numbers in a 32-bit word, and the lowest of each: added to a masked word, it carries into the sign
 * bit of just those numbers whose exponent is full, which are NaN and the infinite ones.
 */
const exponents: Readonly<Record<FloatDType, { readonly mask: number; readonly lowest: number }>> = {
  f32: { mask: 0x7f800000, lowest: 0x00800000 },
  bf16: { mask: 0x7f807f80, lowest: 0x00800080 },
  f16: { mask: 0x7c007c00, lowest: 0x04000400 },
};
const SIGNS = 0x80008000;
/** Words looked at together: most find nothing, so that where is asked only once for so many. */
const BLOCK_WORDS = 256;

/** @throws FormatError naming the tensor and the first NaN or infinite number in it */
export function assertFinite(name: string, dtype: DType, data: Uint8Array, columns: number, firstRow: number): void {
  const at = firstNonFinite(dtype, data);
  if (at < 0) return;
  const row = firstRow + Math.floor(at / columns);
  throw new FormatError(
    `${name} holds NaN or an infinite number (row ${row}, column ${at % columns}); every weight must be finite. ` +
      "The file is damaged or was written by a failed training or conversion; fetch or convert it again.",
  );
}

/** Index of the first number that is NaN or infinite (its block's first number if quantised), or −1. */
export function firstNonFinite(dtype: DType, data: Uint8Array): number {
  return dtype === "f32" || dtype === "bf16" || dtype === "f16" ? firstFullExponent(dtype, data) : firstNonFiniteScale(dtype, data);
}

function firstFullExponent(dtype: FloatDType, data: Uint8Array): number {
  const { buffer, byteOffset, length } = data.byteOffset % 4 === 0 ? data : data.slice();
  const words = new Int32Array(buffer, byteOffset, length >> 2);
  const { mask, lowest } = exponents[dtype];
  const word = firstSuspectBlock(words, mask, lowest);
  const numbers = dtype === "f32" ? words : new Uint16Array(buffer, byteOffset, length >> 1);
  const own = dtype === "f32" ? mask : mask & 0xffff;
  for (let i = dtype === "f32" ? word : 2 * word; i < numbers.length; i++) if (((numbers[i] as number) & own) === own) return i;
  return -1;
}

/**
 * The first word of the first block that has a full exponent, or of the incomplete block at the end.
 *
 * Eight words a turn: 7 GB/s on one core, where a test of each 16-bit number makes 2.
 */
function firstSuspectBlock(words: Int32Array, mask: number, lowest: number): number {
  const blocks = words.length - (words.length % BLOCK_WORDS);
  for (let from = 0; from < blocks; from += BLOCK_WORDS) {
    let a = 0;
    let b = 0;
    for (let i = from; i < from + BLOCK_WORDS; i += 8) {
      a |= (((words[i] as number) & mask) + lowest) | (((words[i + 1] as number) & mask) + lowest);
      b |= (((words[i + 2] as number) & mask) + lowest) | (((words[i + 3] as number) & mask) + lowest);
      a |= (((words[i + 4] as number) & mask) + lowest) | (((words[i + 5] as number) & mask) + lowest);
      b |= (((words[i + 6] as number) & mask) + lowest) | (((words[i + 7] as number) & mask) + lowest);
    }
    if (((a | b) & SIGNS) !== 0) return from;
  }
  return blocks;
}

function firstNonFiniteScale(dtype: DType, data: Uint8Array): number {
  const { blockBytes, blockElements } = dtypeInfo(dtype);
  let first = Infinity;
  for (const offset of scaleOffsets[dtype] ?? []) {
    // The exponent of a little-endian f16 lies in bits 2–6 of its second byte.
    for (let at = offset + 1, block = 0; at < data.length && block < first; at += blockBytes, block++) {
      if (((data[at] as number) & 0x7c) === 0x7c) first = block;
    }
  }
  return first === Infinity ? -1 : first * blockElements;
}
