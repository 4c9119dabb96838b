import { interleaveFour } from "./vector";

/**
 * Rows of a weight as checkpoints store them into panels of 8 rows, [k][8], elements of 2 or 4 bytes. Panels of which all
 * rows are there are transposed in squares, the others a number at a time.
 * args: from, weight, firstRow, rows, k, elementBytes.
 */
export function packRows(args: usize): void {
  let from = <usize>load<u32>(args);
  const weight = <usize>load<u32>(args, 4), first = load<i32>(args, 8), rows = load<i32>(args, 12);
  const k = load<i32>(args, 16), bytes = load<i32>(args, 20);
  const pitch = <usize>k * bytes, end = first + rows;
  for (let r = first; r < end; ) {
    const panel = weight + <usize>(r >> 3) * 8 * pitch;
    if ((r & 7) == 0 && r + 8 <= end) {
      const done = bytes == 4 ? packSquares32(from, pitch, panel, k) : packSquares16(from, pitch, panel, k);
      for (let lane = 0; lane < 8; lane++) packRow(from + <usize>lane * pitch, panel, lane, done, k, bytes);
      from += 8 * pitch;
      r += 8;
    } else {
      packRow(from, panel, r & 7, 0, k, bytes);
      from += pitch;
      r++;
    }
  }
}

/** Columns `[first, k)` of one row. */
function packRow(from: usize, panel: usize, lane: i32, first: i32, k: i32, bytes: i32): void {
  if (bytes == 4) for (let i = first; i < k; i++) store<u32>(panel + ((<usize>i * 8 + lane) << 2), load<u32>(from + (<usize>i << 2)));
  else for (let i = first; i < k; i++) store<u16>(panel + ((<usize>i * 8 + lane) << 1), load<u16>(from + (<usize>i << 1)));
}

/** Eight rows, eight columns at a time; gives the first column that is left. */
function packSquares16(from: usize, pitch: usize, panel: usize, k: i32): i32 {
  let i = 0;
  for (; i + 8 <= k; i += 8, from += 16, panel += 128) {
    const lower = from + 4 * pitch;
    const a0 = v128.load(from), a1 = v128.load(from + pitch), a2 = v128.load(from + 2 * pitch), a3 = v128.load(from + 3 * pitch);
    const a4 = v128.load(lower), a5 = v128.load(lower + pitch), a6 = v128.load(lower + 2 * pitch), a7 = v128.load(lower + 3 * pitch);
    // Of the six bits of an element's place, row and column, each round rotates one from the front to the back.
    const b0 = low(a0, a4), b1 = high(a0, a4), b2 = low(a1, a5), b3 = high(a1, a5);
    const b4 = low(a2, a6), b5 = high(a2, a6), b6 = low(a3, a7), b7 = high(a3, a7);
    const c0 = low(b0, b4), c1 = high(b0, b4), c2 = low(b1, b5), c3 = high(b1, b5);
    const c4 = low(b2, b6), c5 = high(b2, b6), c6 = low(b3, b7), c7 = high(b3, b7);
    v128.store(panel, low(c0, c4));
    v128.store(panel, high(c0, c4), 16);
    v128.store(panel, low(c1, c5), 32);
    v128.store(panel, high(c1, c5), 48);
    v128.store(panel, low(c2, c6), 64);
    v128.store(panel, high(c2, c6), 80);
    v128.store(panel, low(c3, c7), 96);
    v128.store(panel, high(c3, c7), 112);
  }
  return i;
}

/** Eight rows, four columns at a time; gives the first column that is left. */
function packSquares32(from: usize, pitch: usize, panel: usize, k: i32): i32 {
  let i = 0;
  for (; i + 4 <= k; i += 4, from += 16, panel += 128) {
    interleaveFour(from, pitch, panel);
    interleaveFour(from + 4 * pitch, pitch, panel + 16);
  }
  return i;
}

// @ts-ignore: decorator
@inline function low(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline function high(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
