/**
 * compressed-tensors, pack-quantized: `weight_packed` `[rows, columns / 8]` holds rows in natural order (signed quants
 * and zero points, plus 8), `weight_scale` `[rows, groups]`, `weight_zero_point` `[rows / 8, groups]` packed along rows.
 */
import { transposed, wordPlace } from "../packed-layout.ts";
import type { PackedLayout } from "../packed-layout.ts";

export const compressedLayout: PackedLayout = {
  quants: { names: ["weight_packed"], shape: ({ rows, columns }) => [rows, columns / 8] },
  matrix: ([rows = 0, words = 0]) => ({ rows, columns: words * 8 }),
  scales: { names: ["weight_scale"], shape: ({ groups, rows }) => [rows, groups] },
  zeros: { names: ["weight_zero_point"], required: false, shape: ({ groups, rows }) => [rows / 8, groups] },
  order: "weight_g_idx",
  rowStep: 1,
  rowWords(quants, { columns }, from, to, { words: out, stride, gap }) {
    const words = columns / 8;
    for (let row = from; row < to; row++) {
      const at = (row - from) * stride;
      for (let w = 0; w < words; w++) out[at + wordPlace(w, gap)] = quants[row * words + w] as number;
    }
  },
  groupScales: (stored, { rows, groups }) => transposed(stored, rows, groups, new Uint16Array(stored.length)),
  groupZeros(stored, { rows, groups }) {
    const zeros = new Uint8Array(rows * groups);
    for (let group = 0; group < groups; group++) {
      for (let row = 0; row < rows; row++) {
        zeros[group * rows + row] = ((stored[(row >> 3) * groups + group] as number) >>> (4 * (row & 7))) & 15;
      }
    }
    return zeros;
  },
};
