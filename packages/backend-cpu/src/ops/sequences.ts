/** A batch as its device memory describes it at the moment an op runs, cut into tiles for the kernels. */
import { UsageError } from "@infllm/tensor";
import type { LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import type { CpuTensor } from "../wasm/cpu-tensor.ts";
import { aligned } from "../wasm/heap.ts";
import type { Machine } from "../wasm/machine.ts";
import { i32Rows, i32Vector } from "./checks.ts";

export interface Sequence {
  /** First query row of the sequence, counted over the batch. */
  readonly start: number;
  /** Its query rows. */
  readonly count: number;
  /** Absolute position of the first one. */
  readonly position: number;
  /** Cached tokens. */
  readonly length: number;
}

/** 32-bit words of a tile: sequence, first row, rows, position of the first, KV length, three unused. */
const TILE_WORDS = 8;

export class Sequences {
  readonly #starts: CpuTensor;
  readonly #positions: CpuTensor;
  readonly #lengths: CpuTensor;
  readonly pageTable: CpuTensor;

  /** Checks shapes; lengths are read when the op runs, so that a replayed step sees new ones. */
  constructor(
    private readonly machine: Machine,
    private readonly what: string,
    private readonly batch: SequenceBatch,
    private readonly cache: LayerCacheShape,
  ) {
    this.#starts = i32Vector(machine, `${what}: batch.queryStarts`, batch.queryStarts, batch.sequences + 1);
    this.#positions = i32Vector(machine, `${what}: batch.queryPositions`, batch.queryPositions, batch.sequences);
    this.#lengths = i32Vector(machine, `${what}: batch.kvLengths`, batch.kvLengths, batch.sequences);
    this.pageTable = i32Rows(machine, `${what}: batch.pageTable`, batch.pageTable);
    if (this.pageTable.rows < batch.sequences) {
      throw new UsageError(`${what}: batch.pageTable has ${this.pageTable.rows} rows; the batch has ${batch.sequences} sequences.`);
    }
  }

  /** @throws UsageError when lengths, positions or pages contradict the batch or the cache */
  read(): Sequence[] {
    return Array.from({ length: this.batch.sequences }, (_, s) => this.one(s));
  }

  one(s: number): Sequence {
    const { i32 } = this.machine.memory;
    const at = (tensor: CpuTensor, index: number): number => i32[(tensor.address >>> 2) + index] as number;
    const start = at(this.#starts, s);
    const sequence: Sequence = {
      start,
      count: at(this.#starts, s + 1) - start,
      position: at(this.#positions, s),
      length: at(this.#lengths, s),
    };
    this.#check(s, sequence);
    return sequence;
  }

  /** Page of block `block` of sequence `s`. */
  page(s: number, block: number): number {
    return this.machine.memory.i32[(this.pageTable.address >>> 2) + s * this.pageTable.rowStride + block] as number;
  }

  /**
   * Writes tiles of at most `rows` query rows of one sequence to the machine's table, with room `after` it for
   * `extra(tiles)` bytes that tasks share.
   */
  tiles(rows: number, extra = (_tiles: number): number => 0): { readonly at: number; readonly count: number; readonly after: number } {
    const sequences = this.read();
    const count = sequences.reduce((sum, sequence) => sum + Math.ceil(sequence.count / rows), 0);
    const words = aligned(count * TILE_WORDS * 4) / 4;
    const at = this.machine.table(words + Math.ceil(extra(count) / 4));
    const { i32 } = this.machine.memory;
    let word = at >>> 2;
    sequences.forEach(({ start, count: queries, position, length }, s) => {
      for (let row = 0; row < queries; row += rows) {
        i32[word] = s;
        i32[word + 1] = start + row;
        i32[word + 2] = Math.min(rows, queries - row);
        i32[word + 3] = position + row;
        i32[word + 4] = length;
        word += TILE_WORDS;
      }
    });
    return { at, count, after: at + words * 4 };
  }

  #check(index: number, { start, count, position, length }: Sequence): void {
    const { rows, maxQueryLength, maxKvLength } = this.batch;
    if (start < 0 || count < 0 || start + count > rows || count > maxQueryLength) {
      throw new UsageError(
        `${this.what}: sequence ${index} has query rows ${start} to ${start + count}; the batch says ${rows} rows, ` +
          `at most ${maxQueryLength} a sequence.`,
      );
    }
    if (position < 0 || position + count > length || length > maxKvLength) {
      throw new UsageError(
        `${this.what}: sequence ${index} has ${length} cached tokens (bound ${maxKvLength}) and query rows at positions ` +
          `${position} to ${position + count - 1}; every row must be cached.`,
      );
    }
    const blocks = Math.ceil(length / this.cache.blockSize);
    if (blocks > this.pageTable.columns) {
      throw new UsageError(
        `${this.what}: sequence ${index} has ${length} tokens, ${blocks} blocks; the page table has ${this.pageTable.columns} columns.`,
      );
    }
    for (let block = 0; block < blocks; block++) {
      const page = this.page(index, block);
      if (page < 0 || page >= this.cache.pages) {
        throw new UsageError(
          `${this.what}: the page table gives page ${page} for block ${block} of sequence ${index}; ` +
            `the cache has pages 0 to ${this.cache.pages - 1}.`,
        );
      }
    }
  }
}
