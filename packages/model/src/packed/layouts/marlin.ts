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
};

/** 128 words to two words (16 columns) of each of 64 rows. */
function unpackTile(quants: Uint32Array, at: number, out: Uint32Array, to: number, stride: number): void {
  for (let row = 0; row < TILE_ROWS / 2; row++) {
    const sixteen = row >> 3;
    const within = row & 7;
    const source = at + within * 16 + sixteen;
    unpackFour(quants, source, out, to + (sixteen * 16 + within) * stride, 8 * stride);
  }
}

/**
 * The words of four threads to two words of a row and two of the row `below` it: of thread t, nibbles k and k + 4 become byte
 * t of word k. All words at once: lower and upper halves side by side, then their nibbles, then the bytes of the words.
 */
function unpackFour(quants: Uint32Array, source: number, out: Uint32Array, to: number, below: number): void {
  const a = quants[source] as number;
  const b = quants[source + 4] as number;
  const c = quants[source + 8] as number;
  const d = quants[source + 12] as number;
  const lowAc = (a & 0xffff) | (c << 16);
  const highAc = (a >>> 16) | (c & 0xffff0000);
  const lowBd = (b & 0xffff) | (d << 16);
  const highBd = (b >>> 16) | (d & 0xffff0000);
  // Bytes: words 0 and 2 of the first thread, then of the other; and words 1 and 3.
  const evenAc = (lowAc & 0x0f0f0f0f) | ((highAc & 0x0f0f0f0f) << 4);
  const evenBd = (lowBd & 0x0f0f0f0f) | ((highBd & 0x0f0f0f0f) << 4);
  const oddAc = ((lowAc >>> 4) & 0x0f0f0f0f) | (highAc & 0xf0f0f0f0);
  const oddBd = ((lowBd >>> 4) & 0x0f0f0f0f) | (highBd & 0xf0f0f0f0);
  out[to] = (evenAc & 0xff00ff) | ((evenBd & 0xff00ff) << 8);
  out[to + 1] = (oddAc & 0xff00ff) | ((oddBd & 0xff00ff) << 8);
  out[to + below] = ((evenAc >>> 8) & 0xff00ff) | (evenBd & 0xff00ff00);
  out[to + below + 1] = ((oddAc >>> 8) & 0xff00ff) | (oddBd & 0xff00ff00);
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
