/** What dense and block-sparse attention have in common on the host: checks, scratch, tasks. */
import type { AttendBlocksArgs, AttendDenseArgs } from "@infllm/attention";
import { cacheKind, f32Word, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, ownCache, perHeadRows } from "./checks.ts";
import { LOG2E, queriesOf } from "./queries.ts";
import { Sequences } from "./sequences.ts";

/** Query rows (tokens × heads of a group) of a tile: one page of keys and values is read once for all of them. */
const ROWS = 64;

interface Job extends AttendDenseArgs {
  readonly op: typeof op.attendDense | typeof op.attendBlocks;
  /** Address, capacity and budget of the block indices; 0 for dense. */
  readonly indices: () => readonly [number, number, number];
}

/** Softmax over every position up to the row's own. */
export function attendDense(machine: Machine, args: AttendDenseArgs): () => void {
  return attend(machine, "attendDense", { ...args, op: op.attendDense, indices: () => [0, 0, 0] });
}

/** Softmax over the tokens of the selected blocks up to the row's own position. */
export function attendBlocks(machine: Machine, args: AttendBlocksArgs): () => void {
  const chosen = perHeadRows(machine, "attendBlocks: blockIndices", args.blockIndices, {
    dtype: "i32", kvHeads: args.cache.shape.kvHeads, rows: args.batch.rows,
  });
  return attend(machine, "attendBlocks", {
    ...args,
    op: op.attendBlocks,
    indices: () => [chosen.tensor.address, chosen.capacity, chosen.columns],
  });
}

function attend(machine: Machine, what: string, { q, cache, batch, scale, out, op: number, indices }: Job): () => void {
  const layer = ownCache(machine, `${what}: cache`, cache);
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const { tensor: query, group } = queriesOf(machine, what, q, layer.shape, batch);
  const to = f32Rows(machine, `${what}: out`, out, { rows: batch.rows, columns: query.columns });
  const sequences = new Sequences(machine, what, batch, layer.shape);
  const tokens = number === op.attendDense ? Math.max(1, Math.floor(ROWS / group)) : 1;

  return () => {
    const tiles = sequences.tiles(tokens);
    const splits = splitsOf(group, tokens, tiles.count * kvHeads, machine.threadCount);
    const at = layer.addresses;
    const words = Int32Array.of(
      query.address, query.rowStride, to.address, to.rowStride, at.keys, at.values, cacheKind[dtype], kvHeads, group, headDim,
      blockSize, f32Word(scale * LOG2E), sequences.pageTable.address, sequences.pageTable.rowStride, tiles.at, splits, ...indices(), at.scales,
    );
    const rows = tokens * Math.ceil(group / splits);
    machine.run(number, words, tiles.count * kvHeads * splits, scratchBytes(rows, headDim, blockSize, dtype !== "f32"));
  };
}

/**
 * Parts that a group's heads are cut into: enough for every thread when there are few tiles (decode), in fours as
 * the product takes four rows at once, and so that a part of a large group fits a tile.
 */
function splitsOf(group: number, tokens: number, tasks: number, threads: number): number {
  const wanted = Math.max(Math.ceil((group * tokens) / ROWS), Math.ceil(threads / Math.max(tasks, 1)));
  const perPart = Math.ceil(group / Math.min(wanted, group));
  const inFours = perPart >= 4 ? Math.ceil(perPart / 4) * 4 : perPart;
  return Math.ceil(group / inFours);
}

/** Scratch of one tile, as `kernels/attend-tile.ts` lays it out. */
export function scratchBytes(rows: number, headDim: number, blockSize: number, widens: boolean): number {
  const [d8, keys8] = [roundUp8(headDim), roundUp8(blockSize)];
  const tile = rows * (2 * d8 + keys8) + 2 * roundUp8(rows);
  const page = widens ? keys8 * headDim + blockSize * d8 : 0;
  return 64 + 4 * (tile + page);
}

function roundUp8(value: number): number {
  return Math.ceil(value / 8) * 8;
}
