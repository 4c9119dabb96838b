/**
 * Softmax over listed tokens of plain keys and values, those of them that a row may see. Task: a tile of rows and heads
 * with its list. Keys and values are gathered into panels, `KEYS` tokens at a time.
 */
import { closeTile, LOWEST, loadQueries, openTile, softmaxRow, TileState } from "./attend-tile";
import { clear } from "./vector";
import { matmul } from "./matmul";
import { transpose4 } from "./windows";

/** As in `src/abi.ts`. */
const KEYS: i32 = 64;

/** Fields of the job, 4 bytes each; `src/ops/attend-listed.ts` writes them in this order. */
@unmanaged
class ListedArgs {
  q: u32;
  ldq: i32;
  out: u32;
  ldo: i32;
  k: u32;
  ldk: i32;
  v: u32;
  ldv: i32;
  heads: i32;
  group: i32;
  d: i32;
  scale: f32;
  /** [tiles][6]: first row, rows, first head, heads, first entry, entries. */
  tiles: u32;
  tokens: u32;
  /** [rows][2] */
  bounds: u32;
  always: i32;
  /** f32 [rows][heads][2]: maximum in base 2 and sum of each row; or 0. */
  sums: u32;
}

@unmanaged
class ListedTile {
  row: i32;
  rows: i32;
  head: i32;
  heads: i32;
  from: i32;
  entries: i32;
}

/** Keys of `count` listed tokens as panels [d][8]; the last panel repeats the last token. */
function gatherKeys(k: usize, ld: usize, list: usize, count: i32, d: i32, to: usize): void {
  const last = count - 1;
  for (let j = 0; j < count; j += 8) {
    for (let half = 0; half < 8; half += 4) {
      transpose4(
        keyAt(k, ld, list, min(j + half, last)),
        keyAt(k, ld, list, min(j + half + 1, last)),
        keyAt(k, ld, list, min(j + half + 2, last)),
        keyAt(k, ld, list, min(j + half + 3, last)),
        d,
        to + (<usize>half << 2),
      );
    }
    to += <usize>d << 5;
  }
}

// @ts-ignore: decorator
@inline function keyAt(k: usize, ld: usize, list: usize, j: i32): usize {
  return k + <usize>load<i32>(list + (<usize>j << 2)) * ld;
}

/** Values of `count` listed tokens as panels [KEYS][8] of 8 columns each, zeros beyond column d. */
function gatherValues(v: usize, ld: usize, list: usize, count: i32, d: i32, to: usize): void {
  for (let j = 0; j < count; j++) {
    const from = keyAt(v, ld, list, j);
    let at = to + (<usize>j << 5), i = 0;
    for (; i + 8 <= d; i += 8) {
      const column = from + (<usize>i << 2);
      v128.store(at, v128.load(column));
      v128.store(at, v128.load(column, 16), 16);
      at += <usize>KEYS << 5;
    }
    if (i == d) continue;
    clear(at, 32);
    for (let lane: usize = 0; i < d; i++, lane += 4) store<f32>(at + lane, load<f32>(from + (<usize>i << 2)));
  }
}

/** How many of `count` ascending tokens are below `limit`. */
function below(list: usize, count: i32, limit: i32): i32 {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<i32>(list + (<usize>middle << 2)) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Scores of `count` listed tokens to probabilities: those outside a row's bounds get none. */
function softmaxRows(state: TileState, args: ListedArgs, tile: ListedTile, list: usize, count: i32): void {
  const d8 = (args.d + 7) & ~7;
  let s = state.s, o = state.o, m = state.m, l = state.l;
  for (let t = 0; t < tile.rows; t++) {
    const bounds = <usize>args.bounds + (<usize>(tile.row + t) << 3);
    const first = load<i32>(bounds), last = load<i32>(bounds, 4);
    const end = last < i32.MAX_VALUE ? below(list, count, last + 1) : count;
    const kept = min(below(list, count, args.always), end);
    const start = max(kept, min(below(list, count, first), end));
    for (let head = 0; head < tile.heads; head++) {
      if (kept == 0 && start == end) clear(s, <usize>count << 2);
      else {
        for (let j = kept; j < start; j++) store<f32>(s + (<usize>j << 2), LOWEST);
        softmaxRow(s, start == end ? kept : end, count, m, l, o, d8);
      }
      s += <usize>KEYS << 2;
      o += <usize>d8 << 2;
      m += 4;
      l += 4;
    }
  }
}

export function attendListed(at: usize, task: i32, scratch: usize): void {
  const args = changetype<ListedArgs>(at), d = args.d, d8 = (d + 7) & ~7;
  const tile = changetype<ListedTile>(<usize>args.tiles + <usize>task * 24);
  const rows = tile.rows * tile.heads, kvHead = tile.head / args.group;
  const state = openTile(scratch, rows, d, KEYS);
  const ldq = <usize>args.ldq << 2, ldo = <usize>args.ldo << 2, ldk = <usize>args.ldk << 2, ldv = <usize>args.ldv << 2;
  loadQueries(<usize>args.q + <usize>tile.row * ldq, ldq, tile.rows, tile.head, tile.heads, d, args.scale, state.q);
  const k = <usize>args.k + (<usize>(kvHead * d) << 2), v = <usize>args.v + (<usize>(kvHead * d) << 2);
  for (let from = 0; from < tile.entries; from += KEYS) {
    const list = <usize>args.tokens + (<usize>(tile.from + from) << 2), count = min(KEYS, tile.entries - from);
    gatherKeys(k, ldk, list, count, d, state.wideK);
    gatherValues(v, ldv, list, count, d, state.wideV);
    matmul(state.q, <usize>d << 2, rows, state.wideK, <usize>d << 5, (count + 7) >> 3, d, state.s, <usize>KEYS << 2, false);
    softmaxRows(state, args, tile, list, count);
    matmul(state.s, <usize>KEYS << 2, rows, state.wideV, <usize>KEYS << 5, d8 >> 3, count, state.o, <usize>d8 << 2, true);
  }
  for (let r = 0; r < rows; r++) {
    const l = state.l + (<usize>r << 2), sum = load<f32>(l);
    if (args.sums != 0) {
      const head = tile.head + (r % tile.heads), row = tile.row + r / tile.heads;
      const to = <usize>args.sums + (<usize>(row * args.heads + head) << 3);
      store<f32>(to, load<f32>(state.m + (<usize>r << 2)));
      store<f32>(to, sum, 4);
    }
    if (sum == 0) store<f32>(l, 1);
  }
  closeTile(state, <usize>args.out + <usize>tile.row * ldo, ldo, tile.head, tile.heads, d);
}
