/**
 * Scores, pools, forces and selects for one tile of tokens and one KV head.
 *
 * Pass 1 finds each head's log-sum-exp over coarse (approximate) or fine (exact) windows, kept as maximum and
 * reciprocal sum. Pass 2 turns fine windows into exp(s − LSE), summed over the heads of the group as they are made.
 * Scores of one chunk of CHUNK windows, and one number a token and window, are all that is stored.
 */
import { loadQueries, tileAt } from "./attend-tile";
import { gatherWindows, Level } from "./windows";
import { matmul } from "./matmul";
import { chooseBlocks, poolScores } from "./choose-blocks";
import { clear, exp2, exp2Scalar, max4, sum4 } from "./vector";

const CHUNK: i32 = 64;
const LOWEST: f32 = -1e30;

/** Fields of a selection job; `src/ops/select-blocks.ts` writes them in this order. */
@unmanaged
export class SelectArgs {
  q: u32;
  ldq: i32;
  kvHeads: i32;
  group: i32;
  d: i32;
  blockSize: i32;
  scale: f32;
  pageTable: u32;
  pageStride: i32;
  tiles: u32;
  fine: u32;
  fineSlots: i32;
  coarse: u32;
  coarseSlots: i32;
  kernelSize: i32;
  kernelStride: i32;
  /** 1: the LSE runs over coarse windows. */
  approximate: i32;
  initBlocks: i32;
  localBlocks: i32;
  budget: i32;
  indices: u32;
  capacity: i32;
  /** 0 or f32 [kvHeads][capacity][scoreBlocks]. */
  scores: u32;
  scoreBlocks: i32;
  /** Room for a token's windows and blocks in scratch. */
  windowRoom: i32;
  blockRoom: i32;
}

// @ts-ignore: decorator
@inline function windowCount(length: i32, size: i32, stride: i32): i32 {
  return length < size ? 0 : (length - size) / stride + 1;
}

/** Folds `n` scores of one head into its running maximum and sum. */
function foldLse(s: usize, n: i32, m: usize, l: usize): void {
  for (let j = n; j < ((n + 3) & ~3); j++) store<f32>(s + (<usize>j << 2), LOWEST);
  const end = s + (((<usize>n + 3) & ~3) << 2);
  let top = f32x4.splat(LOWEST);
  for (let at = s; at < end; at += 16) top = f32x4.pmax(top, v128.load(at));
  const before = load<f32>(m), after = max(before, max4(top));
  const shift = f32x4.splat(after);
  let sum = f32x4.splat(0);
  for (let at = s; at < end; at += 16) sum = f32x4.add(sum, exp2(f32x4.sub(v128.load(at), shift)));
  store<f32>(l, load<f32>(l) * exp2Scalar(before - after) + sum4(sum));
  store<f32>(m, after);
}

/** Adds up exp2(s − m) / l over a token's `heads` rows of S, for `n` windows, to `out`. */
function fuseHeads(s: usize, heads: i32, n: i32, m: usize, l: usize, out: usize): void {
  for (let j: usize = 0; j < <usize>n << 2; j += 16) {
    let total = f32x4.splat(0), row = s + j;
    for (let h: usize = 0; h < <usize>heads << 2; h += 4) {
      const p = exp2(f32x4.sub(v128.load(row), v128.load32_splat(m + h)));
      total = f32x4.add(total, f32x4.mul(p, v128.load32_splat(l + h)));
      row += CHUNK << 2;
    }
    v128.store(out + j, total);
  }
}

/** Task: (tile, KV head). Scratch: level, Q, S, m, l, one gathered chunk, scores [rows][windowRoom], keys [blockRoom]. */
export function selectBlocks(at: usize, task: i32, scratch: usize): void {
  const args = changetype<SelectArgs>(at);
  const kvHead = task % args.kvHeads, tile = tileAt(args.tiles, task / args.kvHeads);
  const d = args.d, group = args.group, tokens = tile.rows, rows = tokens * group;
  const level = changetype<Level>(scratch);
  const q = scratch + 64;
  const s = q + (<usize>((rows * d + 7) & ~7) << 2);
  const m = s + (<usize>(rows * CHUNK) << 2);
  const l = m + (<usize>((rows + 7) & ~7) << 2);
  const panels = l + (<usize>((rows + 7) & ~7) << 2);
  const scores = panels + (<usize>(CHUNK * d) << 2);
  const keys = scores + (<usize>(tokens * args.windowRoom) << 2);

  const ldq = <usize>args.ldq << 2;
  loadQueries(<usize>args.q + <usize>tile.row * ldq, ldq, tokens, kvHead * group, group, d, args.scale, q);
  level.pages = <usize>args.pageTable + (<usize>(tile.sequence * args.pageStride) << 2);
  level.blockSize = args.blockSize;
  level.kvHeads = args.kvHeads;
  level.kvHead = kvHead;
  level.d = d;

  const lseScale = args.approximate ? 4 : 1;
  level.base = args.approximate ? args.coarse : args.fine;
  level.slots = args.approximate ? args.coarseSlots : args.fineSlots;
  level.size = args.kernelSize * lseScale;
  level.stride = args.kernelStride * lseScale;
  for (let r: usize = 0; r < <usize>rows << 2; r += 4) store<f32>(m + r, LOWEST);
  clear(l, <usize>rows << 2);
  let most = windowCount(tile.position + tokens, level.size, level.stride);
  for (let j = 0; j < most; j += CHUNK) {
    const count = min(CHUNK, most - j);
    gatherWindows(level, j, count, panels);
    matmul(q, <usize>d << 2, rows, panels, <usize>d << 5, (count + 7) >> 3, d, s, CHUNK << 2, false);
    for (let r = 0; r < rows; r++) {
      const seen = min(count, windowCount(tile.position + r / group + 1, level.size, level.stride) - j);
      if (seen > 0) foldLse(s + (<usize>(r * CHUNK) << 2), seen, m + (<usize>r << 2), l + (<usize>r << 2));
    }
  }
  for (let r: usize = 0; r < <usize>rows << 2; r += 4) {
    const sum = load<f32>(l + r);
    store<f32>(l + r, sum > 0 ? <f32>1 / sum : sum);
  }

  level.base = args.fine;
  level.slots = args.fineSlots;
  level.size = args.kernelSize;
  level.stride = args.kernelStride;
  most = windowCount(tile.position + tokens, level.size, level.stride);
  for (let j = 0; j < most; j += CHUNK) {
    const count = min(CHUNK, most - j);
    gatherWindows(level, j, count, panels);
    matmul(q, <usize>d << 2, rows, panels, <usize>d << 5, (count + 7) >> 3, d, s, CHUNK << 2, false);
    for (let t = 0; t < tokens; t++) {
      const seen = min(count, windowCount(tile.position + t + 1, level.size, level.stride) - j);
      if (seen <= 0) continue;
      const r = <usize>(t * group);
      fuseHeads(
        s + ((r * CHUNK) << 2), group, seen, m + (r << 2), l + (r << 2), scores + (<usize>(t * args.windowRoom + j) << 2),
      );
    }
  }
  for (let t = 0; t < tokens; t++) {
    const windows = scores + (<usize>(t * args.windowRoom) << 2);
    const seen = windowCount(tile.position + t + 1, level.size, level.stride);
    const exist = windowCount(tile.kvLength, level.size, level.stride);
    const row = <usize>(kvHead * args.capacity + tile.row + t);
    const blocks = (tile.kvLength + args.blockSize - 1) / args.blockSize;
    poolScores(windows, seen, exist, args.blockSize / args.kernelStride, blocks, keys);
    if (args.scores) {
      const to = <usize>args.scores + ((row * args.scoreBlocks) << 2);
      memory.copy(to, keys, <usize>min(blocks, args.scoreBlocks) << 2);
      for (let b = blocks; b < args.scoreBlocks; b++) store<f32>(to + (<usize>b << 2), -Infinity);
    }
    const to = <usize>args.indices + ((row * args.budget) << 2);
    chooseBlocks(keys, (tile.position + t) / args.blockSize, args.initBlocks, args.localBlocks, args.budget, to);
  }
}
