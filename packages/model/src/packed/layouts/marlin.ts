/**
 * Marlin (IST-DASLab/marlin, and AutoGPTQ's checkpoint_format "marlin"): `B` `[columns / 16, 2 · rows]` holds tiles of
 * 16 columns by 64 rows as 128 words, in the order in which the threads of a tensor core instruction want them; scales
 * are permuted to match. Symmetric: the zero point is 8.
 *
 * Word 4 · thread + tile of such a tile belongs to rows 16 · tile + thread / 4 and 8 below it. Their four columns are
 * 2t, 2t + 1, 2t + 8 and 2t + 9 with t = thread % 4: of the first row in nibbles 0, 4, 1, 5, of the second in 2, 6, 3, 7.
 */
import { wordPlace } from "../packed-layout.ts";
import type { PackedLayout, PackedShape } from "../packed-layout.ts";

const TILE_ROWS = 64;
const TILE_COLUMNS = 16;

export const marlinLayout: PackedLayout = {
  quants: { names: ["B", "qweight"], shape: ({ rows, columns }) => [columns / TILE_COLUMNS, rows * 2] },
  matrix: ([tiles = 0, words = 0]) => (words % (2 * TILE_ROWS) === 0 ? { rows: words / 2, columns: tiles * TILE_COLUMNS } : undefined),
  scales: { names: ["s", "scales"], shape: ({ groups, rows }) => [groups, rows] },
  rowStep: TILE_ROWS,
  rowWords(quants, { rows, columns }, from, to, { words: out, stride, gap }) {
    for (let band = from; band < to; band += TILE_ROWS) {
      for (let tile = 0; tile < columns / TILE_COLUMNS; tile++) {
        unpackTile(quants, (tile * rows + band) * 2, out, (band - from) * stride + wordPlace(tile * 2, gap), stride);
      }
    }
  },
  groupScales,
  groupZeros: (_, { groups, rows }) => new Uint8Array(groups * rows).fill(8),
};

/** 128 words to two words (16 columns) of each of 64 rows. */
function unpackTile(quants: Uint32Array, at: number, out: Uint32Array, to: number, stride: number): void {
  for (let row = 0; row < TILE_ROWS / 2; row++) {
    const sixteen = row >> 3;
    const within = row & 7;
    let first = 0;
    let last = 0;
    let firstBelow = 0;
    let lastBelow = 0;
    for (let t = 0; t < 4; t++) {
      const word = quants[at + (4 * within + t) * 4 + sixteen] as number;
      const shift = 8 * t;
      first |= ((word & 15) | ((word >>> 12) & 0xf0)) << shift;
      last |= (((word >>> 4) & 15) | ((word >>> 16) & 0xf0)) << shift;
      firstBelow |= (((word >>> 8) & 15) | ((word >>> 20) & 0xf0)) << shift;
      lastBelow |= (((word >>> 12) & 15) | ((word >>> 24) & 0xf0)) << shift;
    }
    const place = to + (sixteen * 16 + within) * stride;
    out[place] = first;
    out[place + 1] = last;
    out[place + 8 * stride] = firstBelow;
    out[place + 8 * stride + 1] = lastBelow;
  }
}

/** Sixty-four scales lie transposed as 8 by 8; with one group a row, each 32 in an order of their own. */
function groupScales(stored: Uint16Array, { groups }: PackedShape): Uint16Array {
  const scales = new Uint16Array(stored.length);
  const size = groups > 1 ? 64 : 32;
  for (let at = 0; at < stored.length; at += size) {
    for (let i = 0; i < size; i++) {
      const place = groups > 1 ? (i >> 3) + 8 * (i & 7) : 2 * (i >> 3) + (i & 1) + 8 * ((i & 7) >> 1);
      scales[at + place] = stored[at + i] as number;
    }
  }
  return scales;
}
