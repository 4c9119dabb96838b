/**
 * GPTQ (AutoGPTQ, GPTQModel): `qweight` `[columns / 8, rows]` holds eight columns of a row in a word, the first in the
 * lowest nibble, so that a row of ours is a column of words. `qzeros` `[groups, rows / 8]` packs rows the same way.
 */
import { naturalOrder, unpackNibbles, wordPlace } from "../packed-layout.ts";
import type { PackedLayout } from "../packed-layout.ts";

/** Rows and words moved together: four cache lines of each source row; half that takes twice the time. */
const TILE_ROWS = 64;
const TILE_WORDS = 4;

export const gptqLayout: PackedLayout = {
  quants: { names: ["qweight"], shape: ({ rows, columns }) => [columns / 8, rows] },
  matrix: ([words = 0, rows = 0]) => ({ rows, columns: words * 8 }),
  scales: { names: ["scales"], shape: ({ groups, rows }) => [groups, rows] },
  zeros: {
    names: ["qzeros"],
    required: true,
    shape: ({ groups, rows }) => [groups, rows / 8],
    points: (stored) => unpackNibbles(stored, naturalOrder),
  },
  order: "g_idx",
  rowStep: 1,
  rowWords(quants, { rows, columns }, from, to, { words: out, stride, gap }) {
    const words = columns / 8;
    for (let first = from; first < to; first += TILE_ROWS) {
      const last = Math.min(first + TILE_ROWS, to);
      for (let w = 0; w < words; w += TILE_WORDS) {
        let at = (first - from) * stride + wordPlace(w, gap);
        for (let source = w * rows + first, end = w * rows + last; source < end; source++, at += stride) {
          out[at] = quants[source] as number;
          out[at + 1] = quants[source + rows] as number;
          out[at + 2] = quants[source + 2 * rows] as number;
          out[at + 3] = quants[source + 3 * rows] as number;
        }
      }
    }
  },
  groupScales: (stored) => stored,
};
