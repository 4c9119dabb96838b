import { UsageError } from "@infllm/tensor";
import { blockBudget, localBlocks, windowLevels } from "@infllm/block-selection";
import type { SelectBlocksArgs } from "@infllm/block-selection";
import { WINDOW_CHUNK, f32Word, op } from "../abi.ts";
import { aligned } from "../wasm/heap.ts";
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
    const windowRoom = roundUp(Math.ceil(longest / sparse.kernelStride), WINDOW_CHUNK);
    const blockRoom = roundUp(blocks, 8);
    const unitBytes = aligned(4 * (2 * roundUp(tokens * group, 8) + tokens * windowRoom));
    const partsOf = (units: number): number => (units < machine.threadCount ? Math.ceil(machine.threadCount / units) : 1);
    // Units cut into parts share their buffers. There are fewer of them than threads: this never grows with the rows.
    const tiles = sequences.tiles(tokens, (count) => (partsOf(count * kvHeads) > 1 ? count * kvHeads * unitBytes : 0));
    const units = tiles.count * kvHeads;
    const parts = partsOf(units);
    const at = layer.addresses;
    const words = Int32Array.of(
      query.address, query.rowStride, kvHeads, group, headDim, blockSize, f32Word(scale * LOG2E),
      sequences.pageTable.address, sequences.pageTable.rowStride, tiles.at, at.fine, fine.slots, at.coarse, coarse.slots,
      sparse.kernelSize, sparse.kernelStride, sparse.lse === "approx" ? 1 : 0, sparse.initBlocks, localBlocks(sparse),
      blockBudget(sparse), indices.tensor.address, indices.capacity, scores?.tensor.address ?? 0, scores?.columns ?? 0,
      windowRoom, blockRoom, parts, tiles.after, unitBytes,
    );
    const scratch = ownBytes(tokens * group, headDim, blockRoom) + unitBytes;
    if (parts === 1) {
      machine.run(op.selectBlocks, words, units, scratch);
    } else {
      machine.run(op.selectLse, words, units * parts, scratch);
      machine.run(op.selectScores, words, units * parts, scratch);
      machine.run(op.selectChoose, words, units, scratch);
    }
  };
}

/** Scratch of a thread besides a unit's maxima, sums and window scores, as `kernels/select-blocks.ts` lays it out. */
function ownBytes(rows: number, headDim: number, blockRoom: number): number {
  return 128 + 4 * (roundUp(rows * headDim, 8) + roundUp(rows * WINDOW_CHUNK, 8) + WINDOW_CHUNK * headDim + blockRoom);
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
