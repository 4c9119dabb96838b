/**
 * AWQ (AutoAWQ, version gemm): `qweight` `[columns, rows / 8]` holds eight rows of a column in a word, in the order
 * that its kernel unpacks fastest; `qzeros` `[groups, rows / 8]` the same.
 */
import { unpackNibbles, wordPlace } from "../packed-layout.ts";
import type { PackedLayout } from "../packed-layout.ts";

/** Nibble i of a word belongs to row `order[i]` of its eight. */
const order = [0, 2, 4, 6, 1, 3, 5, 7] as const;
/** Words of a source row that are read before the next rows are touched: four cache lines. */
const TILE_WORDS = 64;

export const awqLayout: PackedLayout = {
  quants: { names: ["qweight"], shape: ({ rows, columns }) => [columns, rows / 8] },
  matrix: ([columns = 0, words = 0]) => ({ rows: words * 8, columns }),
  scales: { names: ["scales"], shape: ({ groups, rows }) => [groups, rows] },
  zeros: {
    names: ["qzeros"],
    required: true,
    shape: ({ groups, rows }) => [groups, rows / 8],
    points: (stored) => unpackNibbles(stored, order),
  },
  rowStep: 8,
  rowWords(quants, { rows, columns }, from, to, { words: out, stride, gap }) {
    const words = rows / 8;
    for (let first = from / 8; first < to / 8; first += TILE_WORDS) {
      const last = Math.min(first + TILE_WORDS, to / 8);
      for (let column = 0; column < columns; column += 8) {
        const place = wordPlace(column / 8, gap);
        for (let word = first; word < last; word++) {
          transpose(quants, column * words + word, words, out, (word * 8 - from) * stride + place, stride);
        }
      }
    }
  },
  groupScales: (stored) => stored,
};

/** Eight words of eight rows each, one a column, to eight words of eight columns each, one a row. */
function transpose(source: Uint32Array, at: number, step: number, out: Uint32Array, to: number, stride: number): void {
  let a = source[at] as number;
  let b = source[at + step] as number;
  let c = source[at + 2 * step] as number;
  let d = source[at + 3 * step] as number;
  let e = source[at + 4 * step] as number;
  let f = source[at + 5 * step] as number;
  let g = source[at + 6 * step] as number;
  let h = source[at + 7 * step] as number;
  // Squares of 4 by 4 nibbles change places across the diagonal, then of 2 by 2, then single ones.
  let swap = ((a >>> 16) ^ e) & 0xffff;
  a ^= swap << 16;
  e ^= swap;
  swap = ((b >>> 16) ^ f) & 0xffff;
  b ^= swap << 16;
  f ^= swap;
  swap = ((c >>> 16) ^ g) & 0xffff;
  c ^= swap << 16;
  g ^= swap;
  swap = ((d >>> 16) ^ h) & 0xffff;
  d ^= swap << 16;
  h ^= swap;
  swap = ((a >>> 8) ^ c) & 0xff00ff;
  a ^= swap << 8;
  c ^= swap;
  swap = ((b >>> 8) ^ d) & 0xff00ff;
  b ^= swap << 8;
  d ^= swap;
  swap = ((e >>> 8) ^ g) & 0xff00ff;
  e ^= swap << 8;
  g ^= swap;
  swap = ((f >>> 8) ^ h) & 0xff00ff;
  f ^= swap << 8;
  h ^= swap;
  swap = ((a >>> 4) ^ b) & 0xf0f0f0f;
  a ^= swap << 4;
  b ^= swap;
  swap = ((c >>> 4) ^ d) & 0xf0f0f0f;
  c ^= swap << 4;
  d ^= swap;
  swap = ((e >>> 4) ^ f) & 0xf0f0f0f;
  e ^= swap << 4;
  f ^= swap;
  swap = ((g >>> 4) ^ h) & 0xf0f0f0f;
  g ^= swap << 4;
  h ^= swap;
  // Word i now holds the row of nibble i.
  out[to] = a;
  out[to + 2 * stride] = b;
  out[to + 4 * stride] = c;
  out[to + 6 * stride] = d;
  out[to + stride] = e;
  out[to + 3 * stride] = f;
  out[to + 5 * stride] = g;
  out[to + 7 * stride] = h;
}
