/**
 * compressed-tensors, pack-quantized: `weight_packed` `[rows, columns / 8]` holds rows in natural order (signed quants
 * and zero points, plus 8), `weight_scale` `[rows, groups]`, `weight_zero_point` `[rows / 8, groups]` packed along rows.
 */
import { GAP_WORDS, transposed } from "../packed-layout.ts";
import type { PackedLayout } from "../packed-layout.ts";

/** Four words a turn, in place of one whose place is worked out: a third of the time. */
function copyFour(from: Uint32Array, source: number, to: Uint32Array, at: number): void {
  to[at] = from[source] as number;
  to[at + 1] = from[source + 1] as number;
  to[at + 2] = from[source + 2] as number;
  to[at + 3] = from[source + 3] as number;
}

export const compressedLayout: PackedLayout = {
  quants: { names: ["weight_packed"], shape: ({ rows, columns }) => [rows, columns / 8] },
  matrix: ([rows = 0, words = 0]) => ({ rows, columns: words * 8 }),
  scales: { names: ["weight_scale"], shape: ({ groups, rows }) => [rows, groups] },
  zeros: {
    names: ["weight_zero_point"],
    required: false,
    shape: ({ groups, rows }) => [rows / 8, groups],
    points(stored, { rows, groups }) {
      const zeros = new Uint8Array(rows * groups);
      for (let group = 0; group < groups; group++) {
        for (let row = 0; row < rows; row++) {
          zeros[group * rows + row] = ((stored[(row >> 3) * groups + group] as number) >>> (4 * (row & 7))) & 15;
        }
      }
      return zeros;
    },
  },
  order: "weight_g_idx",
  rowStep: 1,
  rowWords(quants, { columns }, from, to, { words: out, gap }) {
    const [first, end] = [(from * columns) / 8, (to * columns) / 8];
    if (gap === 0) return out.set(quants.subarray(first, end));
    for (let source = first, at = 1; source < end; source += GAP_WORDS, at += GAP_WORDS + 1) {
      for (let i = 0; i < GAP_WORDS; i += 4) copyFour(quants, source + i, out, at + i);
    }
  },
  groupScales: (stored, { rows, groups }) => transposed(stored, rows, groups, new Uint16Array(stored.length)),
};
