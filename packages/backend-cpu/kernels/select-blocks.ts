/**
 * Scores, pools, forces and selects for one unit: a tile of tokens and one KV head. A row is a token and a head.
 *
 * Pass 1 finds each row's log-sum-exp over coarse (approximate) or fine (exact) windows, kept as maximum and
 * reciprocal sum. Pass 2 turns fine windows into exp(s − LSE), summed over the heads of the group as they are made.
 * Scores of one chunk of CHUNK windows, and one number a token and window, are all that is stored.
 *
 * A unit is one task, or, when there are fewer units than threads (decode), three rounds of tasks: rows of pass 1,
 * chunks of pass 2, the choice. Either way every sum has the same order.
 */
import { loadQueries, Tile, tileAt } from "./attend-tile";
import { gatherWindows, Level } from "./windows";
import { matmul } from "./matmul";
import { chooseBlocks, poolScores } from "./choose-blocks";
import { exp2, exp2Scalar, max4, sum4 } from "./vector";

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
  /** Tasks of a unit in a round, and where units then keep what the rounds hand on; `unitBytes` each. */
  parts: i32;
  shared: u32;
  unitBytes: u32;
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

/** A unit's buffers: level, q, s, panels and keys are the thread's own; m, l and scores may be shared. */
@unmanaged
class Unit {
  tile: Tile;
  level: Level;
  kvHead: i32;
  /** Queries f32 [rows][d], scaled. */
  q: usize;
  /** Scores of one chunk f32 [rows][CHUNK]. */
  s: usize;
  /** Gathered keys of one chunk, [CHUNK / 8][d][8]. */
  panels: usize;
  /** Block scores f32 [blockRoom]. */
  keys: usize;
  /** Maximum and reciprocal sum f32 [rows]. */
  m: usize;
  l: usize;
  /** Window scores f32 [tokens][windowRoom]. */
  scores: usize;
}

// @ts-ignore: decorator
@inline function padded(n: i32): usize {
  return <usize>((n + 7) & ~7) << 2;
}

/** Lays unit `index` out in `scratch`: Unit, Level, q, s, panels, keys, then what is not shared. */
function openUnit(args: SelectArgs, index: i32, scratch: usize): Unit {
  const unit = changetype<Unit>(scratch), level = changetype<Level>(scratch + 64);
  const kvHead = index % args.kvHeads, tile = tileAt(args.tiles, index / args.kvHeads);
  const rows = tile.rows * args.group;
  unit.tile = tile;
  unit.level = level;
  unit.kvHead = kvHead;
  unit.q = scratch + 128;
  unit.s = unit.q + padded(rows * args.d);
  unit.panels = unit.s + padded(rows * CHUNK);
  unit.keys = unit.panels + padded(CHUNK * args.d);
  unit.m = args.parts > 1 ? <usize>args.shared + <usize>index * args.unitBytes : unit.keys + padded(args.blockRoom);
  unit.l = unit.m + padded(rows);
  unit.scores = unit.l + padded(rows);
  level.pages = <usize>args.pageTable + (<usize>(tile.sequence * args.pageStride) << 2);
  level.blockSize = args.blockSize;
  level.kvHeads = args.kvHeads;
  level.kvHead = kvHead;
  level.d = args.d;
  return unit;
}

function openQueries(args: SelectArgs, unit: Unit): void {
  const ldq = <usize>args.ldq << 2, head = unit.kvHead * args.group;
  const from = <usize>args.q + <usize>unit.tile.row * ldq;
  loadQueries(from, ldq, unit.tile.rows, head, args.group, args.d, args.scale, unit.q);
}

function openLevel(args: SelectArgs, level: Level, coarse: bool): void {
  const factor = coarse ? 4 : 1;
  level.base = coarse ? args.coarse : args.fine;
  level.slots = coarse ? args.coarseSlots : args.fineSlots;
  level.size = args.kernelSize * factor;
  level.stride = args.kernelStride * factor;
}

/** S = queries [from, to) · windows [first, first + count). */
function scoreChunk(args: SelectArgs, unit: Unit, from: i32, to: i32, first: i32, count: i32): void {
  const d = args.d, ldq = <usize>d << 2;
  gatherWindows(unit.level, first, count, unit.panels);
  const q = unit.q + <usize>from * ldq, s = unit.s + (<usize>(from * CHUNK) << 2);
  matmul(q, ldq, to - from, unit.panels, <usize>d << 5, (count + 7) >> 3, d, s, CHUNK << 2, false);
}

/** Pass 1 for rows [from, to). */
function lsePass(args: SelectArgs, unit: Unit, from: i32, to: i32): void {
  const level = unit.level, tile = unit.tile;
  openLevel(args, level, args.approximate == 1);
  for (let r = from; r < to; r++) {
    store<f32>(unit.m + (<usize>r << 2), LOWEST);
    store<f32>(unit.l + (<usize>r << 2), 0);
  }
  const windows = windowCount(tile.position + tile.rows, level.size, level.stride);
  for (let j = 0; j < windows; j += CHUNK) {
    const count = min(CHUNK, windows - j);
    scoreChunk(args, unit, from, to, j, count);
    for (let r = from; r < to; r++) {
      const seen = min(count, windowCount(tile.position + r / args.group + 1, level.size, level.stride) - j);
      if (seen > 0) foldLse(unit.s + (<usize>(r * CHUNK) << 2), seen, unit.m + (<usize>r << 2), unit.l + (<usize>r << 2));
    }
  }
  for (let r = from; r < to; r++) {
    const sum = load<f32>(unit.l + (<usize>r << 2));
    store<f32>(unit.l + (<usize>r << 2), sum > 0 ? <f32>1 / sum : sum);
  }
}

/** Pass 2 for windows [from, to) of those that the tile's last token sees; `from` is a multiple of CHUNK. */
function scorePass(args: SelectArgs, unit: Unit, from: i32, to: i32): void {
  const level = unit.level, tile = unit.tile, group = args.group;
  openLevel(args, level, false);
  to = min(to, windowCount(tile.position + tile.rows, level.size, level.stride));
  for (let j = from; j < to; j += CHUNK) {
    const count = min(CHUNK, to - j);
    scoreChunk(args, unit, 0, tile.rows * group, j, count);
    for (let t = 0; t < tile.rows; t++) {
      const seen = min(count, windowCount(tile.position + t + 1, level.size, level.stride) - j);
      if (seen <= 0) continue;
      const r = <usize>(t * group), out = unit.scores + (<usize>(t * args.windowRoom + j) << 2);
      fuseHeads(unit.s + ((r * CHUNK) << 2), group, seen, unit.m + (r << 2), unit.l + (r << 2), out);
    }
  }
}

function choosePass(args: SelectArgs, unit: Unit): void {
  const tile = unit.tile, size = args.kernelSize, stride = args.kernelStride, keys = unit.keys;
  const exist = windowCount(tile.kvLength, size, stride);
  const blocks = (tile.kvLength + args.blockSize - 1) / args.blockSize;
  for (let t = 0; t < tile.rows; t++) {
    const windows = unit.scores + (<usize>(t * args.windowRoom) << 2);
    const seen = windowCount(tile.position + t + 1, size, stride);
    const row = <usize>(unit.kvHead * args.capacity + tile.row + t);
    poolScores(windows, seen, exist, args.blockSize / stride, blocks, keys);
    if (args.scores) {
      const to = <usize>args.scores + ((row * args.scoreBlocks) << 2);
      memory.copy(to, keys, <usize>min(blocks, args.scoreBlocks) << 2);
      for (let b = blocks; b < args.scoreBlocks; b++) store<f32>(to + (<usize>b << 2), -Infinity);
    }
    const to = <usize>args.indices + ((row * args.budget) << 2);
    chooseBlocks(keys, (tile.position + t) / args.blockSize, args.initBlocks, args.localBlocks, args.budget, to);
  }
}

/** Task: a unit. */
export function selectBlocks(at: usize, task: i32, scratch: usize): void {
  const args = changetype<SelectArgs>(at), unit = openUnit(args, task, scratch);
  openQueries(args, unit);
  lsePass(args, unit, 0, unit.tile.rows * args.group);
  scorePass(args, unit, 0, i32.MAX_VALUE);
  choosePass(args, unit);
}

/** Task: a part of a unit's rows, in fours as `matmul` takes them. */
export function selectLse(at: usize, task: i32, scratch: usize): void {
  const args = changetype<SelectArgs>(at), unit = openUnit(args, task / args.parts, scratch);
  const rows = unit.tile.rows * args.group, perPart = ((rows + args.parts - 1) / args.parts + 3) & ~3;
  const from = (task % args.parts) * perPart;
  if (from >= rows) return;
  openQueries(args, unit);
  lsePass(args, unit, from, min(from + perPart, rows));
}

/** Task: a part of a unit's windows, in chunks. */
export function selectScores(at: usize, task: i32, scratch: usize): void {
  const args = changetype<SelectArgs>(at), unit = openUnit(args, task / args.parts, scratch);
  const chunks = args.windowRoom / CHUNK, perPart = (chunks + args.parts - 1) / args.parts;
  const from = (task % args.parts) * perPart;
  openQueries(args, unit);
  scorePass(args, unit, from * CHUNK, (from + perPart) * CHUNK);
}

/** Task: a unit, after its windows have scores. */
export function selectChoose(at: usize, task: i32, scratch: usize): void {
  const args = changetype<SelectArgs>(at);
  choosePass(args, openUnit(args, task, scratch));
}
