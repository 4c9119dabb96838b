/**
 * One tile of attention: R query rows that share a KV head (tokens × heads of its group) against pages of keys, with a
 * running softmax in base 2. Scores of one page are all that is ever stored.
 *
 * Scratch of a tile, f32: Q [R][d] (times scale·log2 e), S [R][keys8], O [R][d8], m [R], l [R], then for narrower
 * caches one widened K and V page. keys8 and d8 are blockSize and d rounded up to 8.
 */
import { F32, widen } from "./half";
import { Q8, scalesAt, widenKeys, widenValues } from "./q8-rows";
import { clear, exp2, exp2Scalar, madd, max4, sum4 } from "./vector";
import { matmul } from "./matmul";

/** Where a row's maximum starts: below any real score, and finite, so that no difference is NaN. */
export const LOWEST: f32 = -1e30;

/** Fields of an attention job, 4 bytes each; `src/ops/attend.ts` writes them in this order. */
@unmanaged
export class AttendArgs {
  q: u32;
  ldq: i32;
  out: u32;
  ldo: i32;
  k: u32;
  v: u32;
  kind: i32;
  kvHeads: i32;
  group: i32;
  d: i32;
  blockSize: i32;
  scale: f32;
  pageTable: u32;
  pageStride: i32;
  /** [tiles][8]: sequence, first row, rows, position of the first row, KV length. */
  tiles: u32;
  /** The group's heads are cut into this many tasks. */
  splits: i32;
  indices: u32;
  capacity: i32;
  budget: i32;
  scales: u32;
}

@unmanaged
export class Tile {
  sequence: i32;
  row: i32;
  rows: i32;
  position: i32;
  kvLength: i32;
}

// @ts-ignore: decorator
@inline export function tileAt(tiles: u32, index: i32): Tile {
  return changetype<Tile>(<usize>tiles + ((<usize>index) << 5));
}

// @ts-ignore: decorator
@inline function roundUp8(n: i32): i32 {
  return (n + 7) & ~7;
}

/** Queries of `rows` tokens × `heads` heads from head `head` on, scaled, to Q. */
export function loadQueries(
  q: usize, ldq: usize, rows: i32, head: i32, heads: i32, d: i32, scale: f32, to: usize,
): void {
  const width = <usize>heads * d, factor = f32x4.splat(scale);
  for (let t = 0; t < rows; t++) {
    const from = q + <usize>t * ldq + ((<usize>head * d) << 2);
    let i: usize = 0;
    for (; i + 4 <= width; i += 4) v128.store(to + (i << 2), f32x4.mul(v128.load(from + (i << 2)), factor));
    for (; i < width; i++) store<f32>(to + (i << 2), load<f32>(from + (i << 2)) * scale);
    to += width << 2;
  }
}

/** Scores of one row, `n` of them visible, to probabilities; folds their maximum and sum into m, l and O's row. */
export function softmaxRow(s: usize, n: i32, keys: i32, m: usize, l: usize, o: usize, width: i32): void {
  for (let j = n; j < ((n + 3) & ~3); j++) store<f32>(s + (<usize>j << 2), LOWEST);
  const end = s + (((<usize>n + 3) & ~3) << 2);
  let top = f32x4.splat(LOWEST), top2 = top;
  let at = s;
  for (; at + 32 <= end; at += 32) {
    top = f32x4.pmax(top, v128.load(at));
    top2 = f32x4.pmax(top2, v128.load(at, 16));
  }
  if (at < end) top = f32x4.pmax(top, v128.load(at));
  const before = load<f32>(m);
  const after = max(before, max4(f32x4.pmax(top, top2)));

  const shift = f32x4.splat(after);
  let sum = f32x4.splat(0);
  for (at = s; at < end; at += 16) {
    const p = exp2(f32x4.sub(v128.load(at), shift));
    v128.store(at, p);
    sum = f32x4.add(sum, p);
  }
  let total = sum4(sum);
  // What the padding added is below 2^-126 each, or nothing at all.
  if (n < keys) clear(s + (<usize>n << 2), <usize>(keys - n) << 2);
  if (after != before) {
    const shrink = exp2Scalar(before - after), factor = f32x4.splat(shrink);
    total += load<f32>(l) * shrink;
    const oEnd = o + (<usize>width << 2);
    for (let i = o; i < oEnd; i += 32) {
      v128.store(i, f32x4.mul(v128.load(i), factor));
      v128.store(i, f32x4.mul(v128.load(i, 16), factor), 16);
    }
    store<f32>(m, after);
  } else total += load<f32>(l);
  store<f32>(l, total);
}

/** The buffers of a tile and what all its pages share. */
@unmanaged
export class TileState {
  q: usize;
  s: usize;
  o: usize;
  m: usize;
  l: usize;
  wideK: usize;
  wideV: usize;
  rows: i32;
}

/** Lays out a tile of `rows` rows in `scratch` and empties it. The state itself takes the first 64 bytes. */
export function openTile(scratch: usize, rows: i32, d: i32, blockSize: i32): TileState {
  const state = changetype<TileState>(scratch);
  const d8 = roundUp8(d), keys8 = roundUp8(blockSize);
  state.rows = rows;
  state.q = scratch + 64;
  state.s = state.q + (<usize>(rows * roundUp8(d)) << 2);
  state.o = state.s + (<usize>(rows * keys8) << 2);
  state.m = state.o + (<usize>(rows * d8) << 2);
  state.l = state.m + (<usize>roundUp8(rows) << 2);
  state.wideK = state.l + (<usize>roundUp8(rows) << 2);
  state.wideV = state.wideK + (<usize>(keys8 * d) << 2);
  clear(state.o, <usize>(rows * d8) << 2);
  clear(state.l, <usize>rows << 2);
  for (let r = 0; r < rows; r++) store<f32>(state.m + (<usize>r << 2), LOWEST);
  return state;
}

/**
 * One page. Row r belongs to token r / heads and sees the page's first min(blockSize, first + token) keys, where
 * `first` (1 … blockSize, more when the page lies wholly before it) counts those that token 0 sees.
 */
export function attendPage(state: TileState, args: AttendArgs, page: i32, kvHead: i32, heads: i32, first: i32): void {
  const d = args.d, blockSize = args.blockSize, rows = state.rows;
  const d8 = roundUp8(d), keys8 = roundUp8(blockSize);
  const keys = min(blockSize, first + (rows - 1) / heads);
  if (keys <= 0) return;
  const shift = args.kind == F32 ? 2 : args.kind == Q8 ? 0 : 1;
  const slot = <usize>(page * args.kvHeads + kvHead);
  let k = <usize>args.k + ((slot * (<usize>keys8 * d)) << shift);
  let v = <usize>args.v + ((slot * (<usize>blockSize * d8)) << shift);
  if (args.kind == Q8) {
    const scales = scalesAt(args.scales, slot, keys8);
    widenKeys(k, scales, state.wideK, roundUp8(keys) >> 3, d);
    widenValues(v, scales + (<usize>keys8 << 2), state.wideV, d8 >> 3, blockSize, keys);
    k = state.wideK;
    v = state.wideV;
  } else if (args.kind != F32) {
    widen(args.kind, k, state.wideK, roundUp8(keys) * d);
    for (let i: usize = 0; i < <usize>d8 * blockSize; i += <usize>blockSize << 3) {
      widen(args.kind, v + (i << 1), state.wideV + (i << 2), keys << 3);
    }
    k = state.wideK;
    v = state.wideV;
  }
  const lds = <usize>keys8 << 2;
  matmul(state.q, <usize>d << 2, rows, k, <usize>d << 5, (keys + 7) >> 3, d, state.s, lds, false);
  let s = state.s, o = state.o, m = state.m, l = state.l;
  let visible = first, left = heads;
  for (let r = 0; r < rows; r++) {
    if (visible > 0) softmaxRow(s, min(visible, keys), keys, m, l, o, d8);
    else clear(s, <usize>keys << 2);
    if (--left == 0) {
      left = heads;
      visible++;
    }
    s += lds;
    o += <usize>d8 << 2;
    m += 4;
    l += 4;
  }
  matmul(state.s, lds, rows, v, <usize>blockSize << 5, d8 >> 3, keys, state.o, <usize>d8 << 2, true);
}

/** O / l to the output rows. */
export function closeTile(state: TileState, out: usize, ldo: usize, head: i32, heads: i32, d: i32): void {
  const d8 = roundUp8(d), vectors = <usize>(d & ~3) << 2, width = <usize>d << 2;
  let o = state.o;
  for (let r = 0; r < state.rows; r++) {
    const to = out + <usize>(r / heads) * ldo + (<usize>((head + (r % heads)) * d) << 2);
    const factor: f32 = <f32>1 / load<f32>(state.l + (<usize>r << 2));
    const factors = f32x4.splat(factor);
    let i: usize = 0;
    for (; i < vectors; i += 16) v128.store(to + i, f32x4.mul(v128.load(o + i), factors));
    for (; i < width; i += 4) store<f32>(to + i, load<f32>(o + i) * factor);
    o += <usize>d8 << 2;
  }
}
