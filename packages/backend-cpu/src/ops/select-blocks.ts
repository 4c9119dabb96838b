import { UsageError } from "@infllm/tensor";
import { blockBudget, localBlocks } from "@infllm/block-selection";
import type { SelectBlocksArgs } from "@infllm/block-selection";
import { WINDOW_CHUNK, f32Word, op } from "../abi.ts";
import { windowLevels } from "../wasm/cpu-cache.ts";
import type { Machine } from "../wasm/machine.ts";
import { ownCache, perHeadRows } from "./checks.ts";
import { LOG2E, queriesOf } from "./queries.ts";
import { Sequences } from "./sequences.ts";

/** Query rows (tokens × heads of a group) that share gathered windows, and the most tokens of a tile. */
const ROWS = 64;
const TOKENS = 16;

/** Scores, pools, forces and selects. */
export function selectBlocks(machine: Machine, { q, cache, batch, scale, blockIndices, blockScores }: SelectBlocksArgs): () => void {
  const layer = ownCache(machine, "selectBlocks: cache", cache);
  const { kvHeads, headDim, blockSize } = layer.shape;
  const { fine, coarse, sparse } = windowLevels("selectBlocks", layer.shape);
  const { tensor: query, group } = queriesOf(machine, "selectBlocks", q, layer.shape, batch);
  const { rows } = batch;
  const indices = perHeadRows(machine, "selectBlocks: blockIndices", blockIndices, {
    dtype: "i32", kvHeads, rows, columns: blockBudget(sparse),
  });
  const scores = blockScores && perHeadRows(machine, "selectBlocks: blockScores", blockScores, { dtype: "f32", kvHeads, rows });
  if (scores && scores.capacity !== indices.capacity) {
    throw new UsageError(
      `selectBlocks: blockScores has room for ${scores.capacity} rows and blockIndices for ${indices.capacity}; make them equal.`,
    );
  }
  const sequences = new Sequences(machine, "selectBlocks", batch, layer.shape);
  const tokens = Math.max(1, Math.min(TOKENS, Math.floor(ROWS / group)));

  return () => {
    const longest = sequences.read().reduce((most, { length }) => Math.max(most, length), 0);
    const blocks = Math.ceil(longest / blockSize);
    if (scores && blocks > scores.columns) {
      throw new UsageError(`selectBlocks: blockScores has room for ${scores.columns} blocks; a sequence has ${longest} tokens.`);
    }
    const tiles = sequences.tiles(tokens);
    const windowRoom = roundUp(Math.ceil(longest / sparse.kernelStride), WINDOW_CHUNK);
    const blockRoom = roundUp(blocks, 8);
    const at = layer.addresses;
    const words = Int32Array.of(
      query.address, query.rowStride, kvHeads, group, headDim, blockSize, f32Word(scale * LOG2E),
      sequences.pageTable.address, sequences.pageTable.rowStride, tiles.at, at.fine, fine.slots, at.coarse, coarse.slots,
      sparse.kernelSize, sparse.kernelStride, sparse.lse === "approx" ? 1 : 0, sparse.initBlocks, localBlocks(sparse),
      blockBudget(sparse), indices.tensor.address, indices.capacity, scores?.tensor.address ?? 0, scores?.columns ?? 0,
      windowRoom, blockRoom,
    );
    machine.run(op.selectBlocks, words, tiles.count * kvHeads, scratchBytes(tokens, group, headDim, windowRoom, blockRoom));
  };
}

/** Scratch of one tile, as `kernels/select-blocks.ts` lays it out. */
function scratchBytes(tokens: number, group: number, headDim: number, windowRoom: number, blockRoom: number): number {
  const rows = tokens * group;
  const floats =
    roundUp(rows * headDim, 8) + rows * WINDOW_CHUNK + 2 * roundUp(rows, 8) + WINDOW_CHUNK * headDim + tokens * windowRoom + blockRoom;
  return 64 + 4 * floats;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
