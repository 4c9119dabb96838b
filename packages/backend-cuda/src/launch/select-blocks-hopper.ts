/**
 * Prefill selection on Hopper: the index is copied out of its pages (gather-index.cu), scored and pooled
 * (select-blocks.cu), ranked (select-top.cu). Rows are done in chunks that bound the scratch for scores.
 */
import type { Machine } from "../machine.ts";
import { hopperVariant } from "../paths.ts";
import { TENSOR_MAP_ALIGNMENT } from "../tensor-map.ts";
import { normalKeys, packCommon, roundUp } from "./select-job.ts";
import type { SelectJob } from "./select-job.ts";
import { headScoreBytes, scoreUnfused, unfusedChunk } from "./select-blocks-unfused.ts";
import type { ScorePass } from "./select-blocks-unfused.ts";
import { queriesMap, rowsMap } from "./tensor-maps.ts";
import { gathered, packedBytes } from "./queries.ts";

const SCORE_BYTES = 2 ** 28;
const SCORE_THREADS = 384;
const GATHER_THREADS = 256;
/** Windows and (head, token) columns of a tile, warpgroups that score, stages of the ring: as in select-tile.cuh. */
const WINDOWS = 64;
const COLUMNS = 128;
const WARPGROUPS = 2;
export const STAGES = 4;
/** Rows of 16 bytes past the end of a run, so that tiles may read on. */
const INDEX_MARGIN = 128;

export function selectHopper(machine: Machine, job: SelectJob): void {
  const { queries, layer, sequences, fine, normal, exact } = job;
  const { activation } = machine;
  const { kvHeads, headDim } = layer.shape;
  const { tensor, heads, group } = queries;
  const runs = sequences.count * kvHeads;
  const cellsOf = (stride: number): number => roundUp(Math.floor(sequences.maxKvLength / stride), INDEX_MARGIN) + INDEX_MARGIN;
  const cells = cellsOf(fine.stride);
  const normalCells = exact ? cells : cellsOf(normal.stride);
  const maxBlocks = roundUp(job.blocks, 32) + 32;
  const rowBytes = kvHeads * (maxBlocks + maxBlocks / 4) * 4;
  const tileTokens = WARPGROUPS * 8 * Math.floor(COLUMNS / (8 * group));
  const fused = machine.headGroupFusion;
  const chunk = Math.min(
    tensor.rows,
    Math.max(COLUMNS, Math.floor(SCORE_BYTES / rowBytes / COLUMNS) * COLUMNS),
    fused ? Infinity : unfusedChunk(heads, cells, tileTokens),
  );
  const [linearFine = 0, linearCoarse = 0, scores = 0, firsts = 0, packed = 0, headScores = 0] = machine.scratch(
    "selectBlocks",
    runs * cells * headDim * 2,
    exact ? 0 : runs * normalCells * headDim * 2,
    kvHeads * chunk * maxBlocks * 4,
    kvHeads * chunk * maxBlocks,
    packedBytes(tensor),
    fused ? 0 : headScoreBytes(heads, chunk, cells),
  );
  gather(machine, job, layer.addresses["fine-keys"], linearFine, fine, cells);
  if (!exact) gather(machine, job, normalKeys(job), linearCoarse, normal, normalCells);

  const q = gathered(machine, tensor, packed);
  const tiles = Math.ceil(Math.min(sequences.maxQueryLength, chunk) / tileTokens);
  const maps = [
    queriesMap(machine, activation, q, { rows: tensor.rows, heads, headDim }, [64, 8, group], "rows first"),
    rowsMap(machine, activation, linearFine, runs * cells, headDim),
    rowsMap(machine, activation, exact ? linearFine : linearCoarse, runs * normalCells, headDim),
  ];
  const scored = { chunk, maxBlocks, scores, firsts };
  for (let row = 0; row < tensor.rows; row += chunk) {
    const pass: ScorePass = {
      variant: hopperVariant(machine, { group, headDim }),
      size: { grid: [Math.min(machine.device.multiprocessors, tiles * runs)], block: [SCORE_THREADS], shared: scoreShared(headDim) },
      rows: Math.min(chunk, tensor.rows - row),
      kvHeads,
      group,
      scoring: (args) =>
        packCommon(args, job)
          .i32(kvHeads)
          .i32(row)
          .i32(chunk)
          .i32(cells)
          .i32(normalCells)
          .i32(normal.stride)
          .i32(job.pooled === 0 ? 0 : 1)
          .i32(maxBlocks)
          .pointer(scores)
          .pointer(firsts),
      tiles: (args) => {
        for (const map of maps) args.bytes(map, TENSOR_MAP_ALIGNMENT);
        return args.i32(tiles);
      },
    };
    if (fused) machine.launch(`score_blocks_${pass.variant}`, pass.size, (args) => pass.tiles(args.struct(pass.scoring)));
    else scoreUnfused(machine, pass, headScores);
    rank(machine, job, { ...scored, row, rows: pass.rows });
  }
}

function gather(machine: Machine, job: SelectJob, from: number, to: number, level: { stride: number; slots: number }, rows: number): void {
  const { kvHeads, headDim } = job.layer.shape;
  const lanes = headDim / 8;
  const cells = Math.floor(job.sequences.maxKvLength / level.stride);
  machine.launch(
    "gather_index",
    { grid: [Math.max(1, Math.ceil(cells / (GATHER_THREADS / lanes))), kvHeads, job.sequences.count], block: [GATHER_THREADS] },
    (args) =>
      args.pointer(from).pointer(to).struct((s) => job.sequences.pack(s)).i32(level.slots).i32(lanes).i32(rows).i32(level.stride),
  );
}

interface Scores {
  readonly row: number;
  /** Rows from `row` on, and those that there is room for. */
  readonly rows: number;
  readonly chunk: number;
  readonly maxBlocks: number;
  readonly scores: number;
  readonly firsts: number;
}

function rank(machine: Machine, job: SelectJob, { row, rows, chunk, maxBlocks, scores, firsts }: Scores): void {
  const { kvHeads } = job.layer.shape;
  // Words of shared memory that a warp needs: keys, the short list, a bitmap (top_words in select-top.cu).
  const words = roundUp(maxBlocks, 128) + 512 + roundUp(maxBlocks, 1024) / 32;
  const warps = Math.max(1, Math.min(4, Math.floor(machine.device.sharedBytes / 4 / words)));
  machine.launch(
    "select_top",
    {
      grid: [Math.ceil(rows / warps), kvHeads],
      block: [32 * warps],
      shared: 4 * words * warps,
    },
    (args) =>
      args.struct((s) =>
        job.sequences
          .pack(s)
          .i32(job.rules.init)
          .i32(job.rules.local)
          .i32(job.rules.budget)
          .i32(kvHeads)
          .i32(row)
          .i32(chunk)
          .i32(job.capacity)
          .i32(maxBlocks)
          .i32(job.pooledBlocks)
          .pointer(scores)
          .pointer(firsts)
          .pointer(job.indices)
          .pointer(job.pooled),
      ),
  );
}

/** `Shape` of select-tile.cuh: queries twice, the ring of keys, partial sums, log-sum-exps, barriers, alignment. */
function scoreShared(headDim: number): number {
  const queries = 2 * WARPGROUPS * COLUMNS * headDim * 2;
  const keys = STAGES * WINDOWS * headDim * 2;
  const sums = WARPGROUPS * COLUMNS * (4 * 8 + 4);
  return queries + keys + sums + 8 * (2 * STAGES + 4) + 1024;
}
