/** Packed matrices in memory, and their rows in types that backends take. */
import { dtypeInfo, f32ToF16, readMemory } from "@infllm/tensor";
import type { PackedLayout, PackedShape } from "./packed-layout.ts";

/** Types that hold packed weights exactly: (quant − zero) · scale. */
export type PackedDType = "q4_g128" | "q8_0";

export interface PackedMatrix {
  readonly layout: PackedLayout;
  readonly shape: PackedShape;
  readonly dtype: PackedDType;
  /** As stored. */
  readonly quants: Uint32Array;
  /** f16 bits `[groups, rows]` */
  readonly scales: Uint16Array;
  /** 0…16 `[groups, rows]` */
  readonly zeros: Uint8Array;
}

const { blockElements: GROUP } = dtypeInfo("q4_g128");
/** Words of a block: scale and zero point, then quants. */
const BLOCK_WORDS = 1 + GROUP / 8;
const { blockElements: Q8_ELEMENTS, blockBytes: Q8_BYTES } = dtypeInfo("q8_0");

/** f16 bits of the zero points 0…16. */
const halves = Uint16Array.from({ length: 17 }, (_, zero) => f32ToF16(zero));

/**
 * q4_g128 where groups are whole blocks of it. Smaller groups are exact in q8_0, with quants less zero points, since
 * these take five bits and a sign.
 */
export function packedDType(columns: number, groupSize: number): PackedDType {
  return columns % GROUP === 0 && groupSize % GROUP === 0 ? "q4_g128" : "q8_0";
}

/** The bytes of the rows `[from, to)` in the matrix's type; `into` is memory that they may come in. */
export function packedRows(matrix: PackedMatrix, from: number, to: number, into?: Uint8Array): Uint8Array {
  const { layout, shape, dtype } = matrix;
  const first = Math.floor(from / layout.rowStep) * layout.rowStep;
  const last = Math.min(shape.rows, Math.ceil(to / layout.rowStep) * layout.rowStep);
  const gap = dtype === "q4_g128" ? 1 : 0;
  const stride = gap === 1 ? (shape.columns / GROUP) * BLOCK_WORDS : shape.columns / 8;
  const words = wordMemory((last - first) * stride, gap === 1 ? into : undefined);
  layout.rowWords(matrix.quants, shape, first, last, { words, stride, gap });
  const own = words.subarray((from - first) * stride, (to - first) * stride);
  return dtype === "q4_g128" ? asGroups(matrix, own, from, to) : asQ80(matrix, own, from, to, into);
}

function wordMemory(words: number, into: Uint8Array | undefined): Uint32Array {
  const { buffer, byteOffset } = readMemory(4 * words, into !== undefined && into.byteOffset % 4 === 0 ? into : undefined);
  return new Uint32Array(buffer, byteOffset, words);
}

/** Fills in scales and zero points. */
function asGroups({ shape, scales, zeros }: PackedMatrix, words: Uint32Array, from: number, to: number): Uint8Array {
  const { rows, columns, groups } = shape;
  const groupWords = (columns / groups / GROUP) * BLOCK_WORDS;
  let at = 0;
  for (let row = from; row < to; row++) {
    for (let group = row; group < groups * rows; group += rows) {
      const word = (scales[group] as number) | ((halves[zeros[group] as number] as number) << 16);
      for (const end = at + groupWords; at < end; at += BLOCK_WORDS) words[at] = word;
    }
  }
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function asQ80({ shape, scales, zeros }: PackedMatrix, words: Uint32Array, from: number, to: number, into: Uint8Array | undefined): Uint8Array {
  const { rows, columns, groups } = shape;
  const blocks = columns / Q8_ELEMENTS;
  const out = readMemory((to - from) * blocks * Q8_BYTES, into);
  let at = 0;
  let next = 0;
  for (let row = from; row < to; row++) {
    for (let block = 0; block < blocks; block++) {
      const group = Math.floor((block * groups) / blocks) * rows + row;
      const zero = zeros[group] as number;
      out[at++] = (scales[group] as number) & 255;
      out[at++] = (scales[group] as number) >> 8;
      for (let w = 0; w < Q8_ELEMENTS / 8; w++) {
        let word = words[next++] as number;
        for (let i = 0; i < 8; i++, word >>>= 4) out[at++] = (word & 15) - zero;
      }
    }
  }
  return out;
}
