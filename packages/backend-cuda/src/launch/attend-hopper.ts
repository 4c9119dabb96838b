/** Prefill attention on Hopper: kernels/attend-dense.cu, attend-blocks.cu (both attend-tile.cuh) and union-blocks.cu. */
import type { Machine } from "../machine.ts";
import { hopperVariant } from "../paths.ts";
import { TENSOR_MAP_ALIGNMENT } from "../tensor-map.ts";
import type { AttendJob, Chosen } from "./attend-job.ts";
import { gathered, packedBytes, scattered } from "./queries.ts";
import { queriesMap, rowsMap } from "./tensor-maps.ts";
import { widePageBytes, widePages } from "./widen-pages.ts";

const THREADS = 384;
const BLOCK = 64;
/** A tile's list has counts of its parts: `int4`. */
const COUNT_BYTES = 16;
/** (token, head) rows of a tile. */
const TILE_ROWS = 128;

/** Stages of the rings in shared memory: attend-dense.cu; keys and values of attend-blocks.cu. */
export const ringStages = { dense: 3, keys: 6, values: 6 } as const;

interface Lists {
  readonly length: number;
  readonly lists: number;
  readonly counts: number;
}

export function attendHopper(machine: Machine, job: AttendJob): void {
  const { queries, layer, sequences, out, scaleLog2, chosen } = job;
  const { activation } = machine;
  const { kvHeads, headDim, pages } = layer.shape;
  const { tensor, heads, group } = queries;
  const tokens = TILE_ROWS / group;
  const tiles = Math.ceil(sequences.maxQueryLength / tokens);
  const work = tiles * sequences.count * kvHeads;
  const length = chosen ? Math.max(1, Math.min(sequences.blocks(BLOCK), tokens * chosen.budget)) : 0;
  const wideBytes = widePageBytes(machine, layer.shape);
  const [lists = 0, counts = 0, packedQ = 0, packedOut = 0, wideKeys = 0, wideValues = 0] = machine.scratch(
    "attention", work * length * 4, chosen ? work * COUNT_BYTES : 0, packedBytes(tensor), packedBytes(out), wideBytes, wideBytes,
  );
  const { keys, values } = widePages(machine, layer, sequences, { keys: wideKeys, values: wideValues });
  const q = gathered(machine, tensor, packedQ);
  if (chosen) unite(machine, job, chosen, { length, lists, counts }, tokens, tiles);
  const rows = pages * kvHeads * BLOCK;
  const maps = [
    queriesMap(machine, activation, q, { rows: tensor.rows, heads, headDim }, [64, group, tokens], "heads first"),
    rowsMap(machine, activation, keys, rows, headDim),
    rowsMap(machine, activation, values, rows, headDim),
  ];
  scattered(machine, out, packedOut, (to) =>
    machine.launch(
      `attend_${chosen ? "blocks" : "dense"}_${hopperVariant(machine, { group, headDim })}`,
      { grid: [Math.min(machine.device.multiprocessors, work)], block: [THREADS], shared: chosen ? sharedOfBlocks(headDim) : sharedOfDense(headDim) },
      (args) => {
        args.struct((s) =>
          sequences.pack(s).f32(scaleLog2).i32(heads).i32(kvHeads).i32(length).pointer(lists).pointer(counts).pointer(to),
        );
        for (const map of maps) args.bytes(map, TENSOR_MAP_ALIGNMENT);
        args.i32(tiles);
      },
    ),
  );
}

function unite(
  machine: Machine,
  { layer, sequences }: AttendJob,
  chosen: Chosen,
  { length, lists, counts }: Lists,
  tokens: number,
  tiles: number,
): void {
  const blocks = sequences.blocks(BLOCK);
  machine.launch(
    "union_blocks",
    { grid: [tiles, layer.shape.kvHeads, sequences.count], block: [128], shared: Math.ceil(blocks / 128) * 512 },
    (args) =>
      args.struct((s) =>
        sequences
          .pack(s)
          .i32(chosen.budget)
          .i32(chosen.capacity)
          .i32(blocks)
          .i32(tokens)
          .i32(length)
          .pointer(chosen.address)
          .pointer(lists)
          .pointer(counts),
      ),
  );
}

/** `Shape::shared_bytes` of attend-dense.cu: queries, rings of two blocks of keys and of values, barriers, alignment. */
function sharedOfDense(headDim: number): number {
  const { dense } = ringStages;
  return 2 * headDim * (TILE_ROWS + 2 * dense * 2 * BLOCK) + 8 * (4 * dense + 2) + 1024;
}

/** `Shape::shared_bytes` of attend-blocks.cu: queries, rings, barriers, list entries, tags, counts, alignment. */
function sharedOfBlocks(headDim: number): number {
  const { keys, values } = ringStages;
  const tags = 2 * headDim * (TILE_ROWS + (keys + values) * BLOCK) + 8 * (2 * keys + 2 * values + 2) + 4 * (2 * keys + values);
  return Math.ceil(tags / 16) * 16 + 16 + 1024;
}
