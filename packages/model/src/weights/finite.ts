import { FormatError, dtypeInfo, hostArray } from "@infllm/tensor";
import type { DType } from "@infllm/tensor";

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
  if (dtype === "f32") {
    const values = hostArray({ dtype: "f32", shape: [data.length / 4], data }) as Float32Array;
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i] as number)) return i;
    return -1;
  }
  if (dtype === "f16" || dtype === "bf16") {
    const exponent = dtype === "f16" ? 0x7c00 : 0x7f80;
    const bits = hostArray({ dtype, shape: [data.length / 2], data }) as Uint16Array;
    for (let i = 0; i < bits.length; i++) if (((bits[i] as number) & exponent) === exponent) return i;
    return -1;
  }
  return firstNonFiniteScale(dtype, data);
}

function firstNonFiniteScale(dtype: DType, data: Uint8Array): number {
  const { blockBytes, blockElements } = dtypeInfo(dtype);
  for (const offset of scaleOffsets[dtype] ?? []) {
    // The exponent of a little-endian f16 lies in bits 2–6 of its second byte.
    for (let at = offset + 1; at < data.length; at += blockBytes) {
      if (((data[at] as number) & 0x7c) === 0x7c) return Math.floor(at / blockBytes) * blockElements;
    }
  }
  return -1;
}
