/**
 * GPTQ (AutoGPTQ, GPTQModel): `qweight` `[columns / 8, rows]` holds eight columns of a row in a word, the first in the
 * lowest nibble, so that a row of ours is a column of words. `qzeros` `[groups, rows / 8]` packs rows the same way.
 */
import { naturalOrder, unpackNibbles, wordPlace } from "../packed-layout.ts";
import type { PackedLayout } from "../packed-layout.ts";

/** Rows moved together: words of a cache line. */
const LINE = 16;

export const gptqLayout: PackedLayout = {
  quants: { names: ["qweight"], shape: ({ rows, columns }) => [columns / 8, rows] },
  matrix: ([words = 0, rows = 0]) => ({ rows, columns: words * 8 }),
  scales: { names: ["scales"], shape: ({ groups, rows }) => [groups, rows] },
  zeros: { names: ["qzeros"], required: true, shape: ({ groups, rows }) => [groups, rows / 8] },
  order: "g_idx",
  rowStep: 1,
  rowWords(quants, { rows, columns }, from, to, { words: out, stride, gap }) {
    const words = columns / 8;
    for (let first = from; first < to; first += LINE) {
      const last = Math.min(first + LINE, to);
      for (let w = 0; w < words; w++) {
        const source = w * rows;
        for (let row = first, at = (first - from) * stride + wordPlace(w, gap); row < last; row++, at += stride) {
          out[at] = quants[source + row] as number;
        }
      }
    }
  },
  groupScales: (stored) => stored,
  groupZeros: (stored) => unpackNibbles(stored, naturalOrder),
};
