/** How weights lie on the device: the layouts of kernels/common/weight-*.wgsl, in 32-bit words. */
import { dtypeInfo, isQuantized, rowBytes } from "@infllm/tensor";
import type { WeightDType } from "@infllm/tensor";

export interface WeightLayout {
  /** Words from one row to the next. */
  readonly pitchWords: number;
  /** The same in what the kernels count with: four numbers (plain types) or a word. */
  readonly pitch: number;
  /** Do rows lie on the device as they are stored? */
  readonly asStored: boolean;
}

/** Words before the scales of a row, for types whose scales are taken out of their blocks of 32. */
const planes = { q8_0: { quants: 32, scales: 2 }, q4_0: { quants: 16, scales: 2 }, q4_1: { quants: 16, scales: 4 } } as const;
/** A block of q6_k has 210 bytes; here it starts at a whole word. */
const Q6_K_BYTES = 212;

export function weightLayout(dtype: WeightDType, columns: number): WeightLayout {
  const stored = rowBytes(dtype, columns);
  if (!isQuantized(dtype)) {
    const bytes = Math.ceil(columns / 4) * 4 * dtypeInfo(dtype).blockBytes;
    return { pitchWords: bytes / 4, pitch: Math.ceil(columns / 4), asStored: bytes === stored };
  }
  if (dtype === "q4_k" || dtype === "q5_k" || dtype === "q4_g128") return { pitchWords: stored / 4, pitch: stored / 4, asStored: true };
  const words = dtype === "q6_k" ? (columns / 256) * (Q6_K_BYTES / 4) : planeWords(dtype, columns);
  return { pitchWords: words, pitch: words, asStored: false };
}

/** Stored rows as they lie on the device. */
export function packRows(dtype: WeightDType, columns: number, rows: number, data: Uint8Array): Uint8Array {
  const pitch = weightLayout(dtype, columns).pitchWords * 4;
  const bytes = rowBytes(dtype, columns);
  const out = new Uint8Array(rows * pitch);
  for (let r = 0; r < rows; r++) {
    const [from, to] = [data.subarray(r * bytes, (r + 1) * bytes), out.subarray(r * pitch, (r + 1) * pitch)];
    if (dtype === "q8_0" || dtype === "q4_0" || dtype === "q4_1") splitPlanes(dtype, columns, from, to);
    else if (dtype === "q6_k") spreadBlocks(from, to);
    else to.set(from);
  }
  return out;
}

function planeWords(dtype: keyof typeof planes, columns: number): number {
  const { quants, scales } = planes[dtype];
  return Math.ceil((columns / 32) * (quants + scales) / 4);
}

function splitPlanes(dtype: keyof typeof planes, columns: number, from: Uint8Array, to: Uint8Array): void {
  const { quants, scales } = planes[dtype];
  const blocks = columns / 32;
  for (let b = 0; b < blocks; b++) {
    const at = b * (quants + scales);
    to.set(from.subarray(at + scales, at + scales + quants), b * quants);
    to.set(from.subarray(at, at + scales), blocks * quants + b * scales);
  }
}

function spreadBlocks(from: Uint8Array, to: Uint8Array): void {
  for (let at = 0, place = 0; at < from.length; at += 210, place += Q6_K_BYTES) to.set(from.subarray(at, at + 210), place);
}
