import { blockBudget, localBlocks } from "@infllm/block-selection";
import type { SelectBlocksArgs } from "@infllm/block-selection";
import { ownCache, perHeadRows } from "../checks.ts";
import { MOST_WORKGROUPS } from "../machine.ts";
import type { Bound, Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";
import { windowLevels } from "../webgpu-cache.ts";
import type { WebGpuCache, WindowLevel } from "../webgpu-cache.ts";
import type { WebGpuTensor } from "../webgpu-tensor.ts";
import { queriesOf, queryTile, tileConstants } from "./queries.ts";
import type { Queries, QueryTile } from "./queries.ts";
import { asFours, copiedBytes, pieces } from "./rows.ts";
import type { FourRows } from "./rows.ts";

/** Most scratch for block scores; more rows are done in several turns. */
const SCORE_BYTES = 2 ** 25;
/** Windows scored at a time, fixed in the kernel; a workgroup's blocks and the window before them fit. */
const KEYS = 64;
const MOST_BLOCKS = 16;
/** Workgroups of the first pass wanted at least, and most that share a query's windows: their sums are added up again. */
const WANTED_WORKGROUPS = 64;
const MOST_PARTS = 16;
/** Invocations that choose for a row, where rows are few and where they are many. */
const CHOOSING = { few: 256, many: 64, rows: 64 };

interface Job {
  readonly queries: Queries;
  readonly from: FourRows;
  readonly layer: WebGpuCache;
  readonly sequences: Sequences;
  readonly table: Bound;
  readonly tile: QueryTile;
  readonly scale: number;
  /** Blocks that a sequence may have. */
  readonly blocks: number;
  /** f32 `[rows, heads, parts]` of (largest score, sum) */
  readonly normal: Bound;
  /** Workgroups that share the windows of a query in the first pass. */
  readonly parts: number;
  /** u32 `[rows, kvHeads, blocks]` */
  readonly scored: Bound;
}

interface Results {
  readonly indices: { readonly tensor: WebGpuTensor; readonly capacity: number };
  readonly pooled: { readonly tensor: WebGpuTensor; readonly capacity: number; readonly columns: number } | undefined;
}

/** Scores, pools, forces and selects. */
export function selectBlocks(machine: Machine, { q, cache, batch, scale, blockIndices, blockScores }: SelectBlocksArgs): void {
  const layer = ownCache(machine, "selectBlocks: cache", cache);
  const { shape } = layer;
  const { kvHeads, headDim, blockSize } = shape;
  const { fine, coarse, sparse } = windowLevels("selectBlocks", shape);
  const queries = queriesOf(machine, "selectBlocks", q, shape, batch);
  const { heads, group, tensor } = queries;
  const { rows } = batch;
  const expected = { kvHeads, rows };
  const indices = perHeadRows(machine, "selectBlocks: blockIndices", blockIndices, { dtype: "i32", ...expected, columns: blockBudget(sparse) });
  const pooled = blockScores && perHeadRows(machine, "selectBlocks: blockScores", blockScores, { dtype: "f32", ...expected });
  const sequences = new Sequences(machine, "selectBlocks", batch, shape);
  if (rows === 0) return;
  const blocks = sequences.blocks(blockSize);
  const normal = sparse.lse === "exact" ? fine : coarse;
  const windows = sequences.maxKvLength / fine.stride + sequences.maxKvLength / normal.stride;
  const costPerRow = 2 * heads * headDim * windows;
  const most = Math.max(1, Math.min(MOST_WORKGROUPS, Math.floor(SCORE_BYTES / (4 * kvHeads * blocks))));
  const turns = pieces(machine, rows, costPerRow, most);
  const turnRows = Math.max(...turns.map(([first, end]) => end - first));
  const copied = copiedBytes(tensor);
  const tile = queryTile(machine, group, rows);
  const parts = partsFor(Math.ceil(rows / tile.tokens) * tile.chunks * kvHeads, sequences.maxKvLength / normal.stride);
  const [normals, scored, copy] = machine.scratch("selectBlocks", turnRows * heads * parts * 8, turnRows * kvHeads * blocks * 4, copied);
  if (normals === undefined || scored === undefined) return;
  const job: Job = {
    queries, layer, sequences, blocks, scored, normal: normals,
    from: asFours(machine, tensor, copied > 0 ? copy : undefined),
    table: sequences.table(),
    tile,
    parts,
    scale: scale * Math.LOG2E,
  };
  for (const [first, end] of turns) {
    score(machine, "score-lse", job, normal, first, end);
    score(machine, "score-blocks", job, fine, first, end);
    choose(machine, job, { indices, pooled }, first, end);
  }
}

/** One pass over the windows of a level. */
function score(machine: Machine, kernel: "score-lse" | "score-blocks", job: Job, level: WindowLevel, first: number, end: number): void {
  const { queries: { heads, group }, from, layer, sequences, table, tile, blocks } = job;
  const { kvHeads, headDim, blockSize } = layer.shape;
  const rows = end - first;
  const source = from.bound(first, end);
  const pages = sequences.pageTable.bound();
  const isFine = level.stride === layer.shape.sparse?.kernelStride;
  const keys = layer.part(isFine ? "fine-keys" : "coarse-keys");
  const perGroup = Math.max(1, Math.min(MOST_BLOCKS, Math.floor((KEYS - 1) / (blockSize / level.stride))));
  const tiles = Math.ceil(rows / tile.tokens);
  const lse = kernel === "score-lse";
  machine.launch({
    kernel,
    cache: layer.dtype,
    constants: { ...tileConstants(machine, tile, headDim), ...(lse ? {} : { BLOCKS: perGroup }) },
    bind: lse ? [source.bound, table, pages, keys, job.normal] : [source.bound, table, pages, keys, job.normal, job.scored],
    params: (p) =>
      p
        .u32(rows, first, heads, kvHeads, group, tile.tokens, tile.chunks, headDim, blockSize, level.size, level.stride, level.slots)
        .u32(source.start4, from.stride4, pages.start, sequences.pageTable.rowStride)
        .f32(job.scale)
        .u32(job.parts, blocks),
    groups: lse ? [tiles * tile.chunks, kvHeads, job.parts] : [tiles, kvHeads, Math.ceil(blocks / perGroup)],
    cost: (2 * rows * heads * headDim * sequences.maxKvLength) / level.stride,
  });
}

function choose(machine: Machine, { layer, table, blocks, scored }: Job, { indices, pooled }: Results, first: number, end: number): void {
  const { kvHeads, blockSize } = layer.shape;
  const { fine, sparse } = windowLevels("selectBlocks", layer.shape);
  const to = indices.tensor.bound();
  const scores = pooled?.tensor.bound() ?? machine.nothingWritten;
  machine.launch({
    kernel: "select-blocks",
    element: "f32",
    constants: { THREADS: (end - first) * kvHeads < CHOOSING.rows ? CHOOSING.few : CHOOSING.many },
    bind: [table, scored, to, scores],
    params: (p) =>
      p
        .u32(first, kvHeads, blockSize, fine.size, fine.stride, sparse.initBlocks, localBlocks(sparse), blockBudget(sparse), blocks)
        .u32(to.start, indices.capacity, scores.start, pooled?.capacity ?? 0, pooled?.columns ?? 0),
    groups: [end - first, kvHeads],
    cost: 40 * (end - first) * kvHeads * blocks,
  });
}

/** A few queries alone would leave most of the GPU idle. */
function partsFor(workgroups: number, windows: number): number {
  return Math.max(1, Math.min(MOST_PARTS, Math.floor(WANTED_WORKGROUPS / workgroups), Math.ceil(windows / KEYS)));
}
