import { dtypeInfo, f16ToF32 } from "@infllm/tensor";

const { blockElements: GROUP } = dtypeInfo("q4_g128");
const BLOCK_WORDS = 1 + GROUP / 8;

/** A tensor of a GPTQ checkpoint: the last part of its name, and how it is stored. */
export interface GptqTensor {
  readonly part: "g_idx" | "qweight" | "qzeros" | "scales";
  readonly dtype: "i32" | "f16";
  shape(rows: number, columns: number): readonly number[];
}

export const gptqTensors: readonly GptqTensor[] = [
  { part: "g_idx", dtype: "i32", shape: (_, columns) => [columns] },
  { part: "qweight", dtype: "i32", shape: (rows, columns) => [columns / 8, rows] },
  { part: "qzeros", dtype: "i32", shape: (rows, columns) => [columns / GROUP, rows / 8] },
  { part: "scales", dtype: "f16", shape: (rows, columns) => [columns / GROUP, rows] },
];

/**
 * Rows of q4_g128 as version 1 of the GPTQ format stores them: words of eight columns, `[columns / 8, rows]`, and zero
 * points (1…15) less one.
 */
export function asGptq(blocks: Uint8Array, rows: number, columns: number): Record<GptqTensor["part"], Uint8Array> {
  const words = new Uint32Array(blocks.buffer, blocks.byteOffset, blocks.length / 4);
  const groups = columns / GROUP;
  const qweight = new Uint32Array((columns / 8) * rows);
  const qzeros = new Uint32Array((groups * rows) / 8);
  const scales = new Uint16Array(groups * rows);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const at = (row * groups + group) * BLOCK_WORDS;
      const head = words[at] as number;
      const place = group * rows + row;
      scales[place] = head & 0xffff;
      qzeros[place >> 3] = (qzeros[place >> 3] as number) | ((f16ToF32(head >>> 16) - 1) << (4 * (place & 7)));
      for (let i = 1; i < BLOCK_WORDS; i++) qweight[(group * (BLOCK_WORDS - 1) + i - 1) * rows + row] = words[at + i] as number;
    }
  }
  const groupOf = Int32Array.from({ length: columns }, (_, column) => Math.floor(column / GROUP));
  return { g_idx: bytesOf(groupOf), qweight: bytesOf(qweight), qzeros: bytesOf(qzeros), scales: bytesOf(scales) };
}

function bytesOf(values: Int32Array | Uint32Array | Uint16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
