/** A batch as the kernels take it: one entry of a table for each query row, and the page table. */
import { checkPageTable } from "@infllm/block-selection";
import type { LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import { i32Vector, rowsOf } from "./checks.ts";
import type { Bound, Machine } from "./machine.ts";
import type { WebGpuTensor } from "./webgpu-tensor.ts";

export class Sequences {
  readonly rows: number;
  readonly maxKvLength: number;
  readonly lengths: WebGpuTensor;
  readonly pageTable: WebGpuTensor;
  readonly #starts: WebGpuTensor;
  readonly #positions: WebGpuTensor;
  readonly #count: number;

  /** Checks shapes; lengths stay on the device, so that a recorded step sees new ones. */
  constructor(
    private readonly machine: Machine,
    what: string,
    batch: SequenceBatch,
    cache: LayerCacheShape,
  ) {
    this.#count = batch.sequences;
    this.rows = batch.rows;
    this.maxKvLength = batch.maxKvLength;
    this.#starts = i32Vector(machine, `${what}: batch.queryStarts`, batch.queryStarts, batch.sequences + 1);
    this.#positions = i32Vector(machine, `${what}: batch.queryPositions`, batch.queryPositions, batch.sequences);
    this.lengths = i32Vector(machine, `${what}: batch.kvLengths`, batch.kvLengths, batch.sequences);
    this.pageTable = rowsOf(machine, `${what}: batch.pageTable`, batch.pageTable, ["i32"]);
    checkPageTable(what, this.pageTable, batch, cache.blockSize);
  }

  /** Blocks that any of its sequences may have. */
  blocks(blockSize: number): number {
    return Math.max(1, Math.ceil(this.maxKvLength / blockSize));
  }

  /**
   * `[rows]` of (sequence, position, cached tokens, 0), i32; sequence −1 where a row belongs to none. Made once for all ops
   * between two writes: the layers of a pass share it.
   */
  table(): Bound {
    const { machine } = this;
    const [starts, positions, lengths] = [this.#starts.bound(), this.#positions.bound(), this.lengths.bound()];
    const key = [this.rows, this.#count, ...[starts, positions, lengths].map(({ allocation, offset, start }) => `${allocation.id}+${offset}+${start}`)].join(" ");
    return machine.kept(key, `The table of ${this.rows} query rows`, 16 * this.rows, (table) =>
      machine.launch({
        kernel: "describe-rows",
        element: "f32",
        bind: [starts, positions, lengths, table],
        params: (p) => p.u32(this.rows, this.#count, starts.start, positions.start, lengths.start),
        groups: [Math.min(1024, Math.ceil(this.rows / 64))],
        cost: 16 * this.rows,
      }),
    );
  }
}
