/** A batch as the kernels take it: `struct Batch` of kernels/common/batch.cuh. */
import { checkPageTable } from "@infllm/block-selection";
import type { LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import { i32Vector, rowsOf } from "./checks.ts";
import type { CudaTensor } from "./cuda-tensor.ts";
import type { KernelArgs } from "./kernel-args.ts";
import type { Machine } from "./machine.ts";

export class Sequences {
  readonly count: number;
  readonly rows: number;
  readonly maxQueryLength: number;
  readonly maxKvLength: number;
  readonly #starts: CudaTensor;
  readonly #positions: CudaTensor;
  readonly #lengths: CudaTensor;
  readonly pageTable: CudaTensor;

  /** Checks shapes; lengths stay on the device, so that a recorded step sees new ones. */
  constructor(machine: Machine, what: string, batch: SequenceBatch, cache: LayerCacheShape) {
    this.count = batch.sequences;
    this.rows = batch.rows;
    this.maxQueryLength = Math.min(batch.maxQueryLength, batch.rows);
    this.maxKvLength = batch.maxKvLength;
    this.#starts = i32Vector(machine, `${what}: batch.queryStarts`, batch.queryStarts, batch.sequences + 1);
    this.#positions = i32Vector(machine, `${what}: batch.queryPositions`, batch.queryPositions, batch.sequences);
    this.#lengths = i32Vector(machine, `${what}: batch.kvLengths`, batch.kvLengths, batch.sequences);
    this.pageTable = rowsOf(machine, `${what}: batch.pageTable`, batch.pageTable, ["i32"]);
    checkPageTable(what, this.pageTable, batch, cache.blockSize);
  }

  /** Blocks that any of its sequences may have. */
  blocks(blockSize: number): number {
    return Math.max(1, Math.ceil(this.maxKvLength / blockSize));
  }

  /** Adds `struct Batch`: as a parameter by `args.struct((s) => sequences.pack(s))`, or inside another structure. */
  pack(args: KernelArgs): KernelArgs {
    return args
      .align(8)
      .pointer(this.#starts.address)
      .pointer(this.#positions.address)
      .pointer(this.#lengths.address)
      .pointer(this.pageTable.address)
      .i32(this.count)
      .i32(this.pageTable.rowStride);
  }

  get positions(): CudaTensor {
    return this.#positions;
  }

  get starts(): CudaTensor {
    return this.#starts;
  }

  get lengths(): CudaTensor {
    return this.#lengths;
  }
}
