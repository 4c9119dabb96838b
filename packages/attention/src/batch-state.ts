/** The device tensors that say which query rows a step processes: written by the host before it, read by every op. */
import { ConfigError, ShapeError } from "@infllm/tensor";
import type { Backend, DeviceTensor } from "@infllm/tensor";
import type { SequenceBatch } from "@infllm/block-selection";
import type { CachedSequence } from "./cached-sequence.ts";
import type { KvCache } from "./kv-cache.ts";

/** `count` new tokens for a sequence. */
export interface BatchEntry {
  readonly sequence: CachedSequence;
  readonly count: number;
}

/** Query rows over tokens that are in the cache already: positions `from` to `from + count − 1`. */
export interface RevisitEntry extends BatchEntry {
  readonly from: number;
}

/** Most query rows and sequences of one step. */
export interface BatchCapacity {
  readonly rows: number;
  readonly sequences: number;
}

export class BatchState {
  #rows = 0;
  #sequences = 0;
  #maxQueryLength = 0;

  private constructor(
    readonly capacity: BatchCapacity,
    private readonly backend: Backend,
    private readonly cache: KvCache,
    private readonly tensors: {
      readonly queryStarts: DeviceTensor;
      readonly queryPositions: DeviceTensor;
      readonly kvLengths: DeviceTensor;
      readonly pageTable: DeviceTensor;
      readonly positions: DeviceTensor;
    },
  ) {}

  /** @throws ConfigError, OutOfMemoryError */
  static allocate(backend: Backend, cache: KvCache, capacity: BatchCapacity): BatchState {
    const { rows, sequences } = capacity;
    if (!Number.isInteger(rows) || !Number.isInteger(sequences) || rows < 1 || sequences < 1) {
      throw new ConfigError(`BatchState: capacity is ${rows} rows in ${sequences} sequences; both must be positive integers.`);
    }
    const made: DeviceTensor[] = [];
    const i32 = (...shape: number[]): DeviceTensor => {
      const tensor = backend.allocate("i32", shape);
      made.push(tensor);
      return tensor;
    };
    try {
      return new BatchState(capacity, backend, cache, {
        queryStarts: i32(sequences + 1),
        queryPositions: i32(sequences),
        kvLengths: i32(sequences),
        pageTable: i32(sequences, cache.maxPages),
        positions: i32(rows),
      });
    } catch (error) {
      for (const tensor of made) tensor.release();
      throw error;
    }
  }

  /**
   * Prepares a step that appends `count` tokens to each sequence, rows in the order of the entries: takes pages,
   * advances lengths, writes the device tensors. On an error nothing has changed.
   * @throws ShapeError (context or capacity exceeded, a sequence given twice), OutOfMemoryError (no free pages)
   */
  set(entries: readonly BatchEntry[]): void {
    this.#checkCapacity(entries);
    if (new Set(entries.map((entry) => entry.sequence)).size < entries.length) {
      throw new ShapeError("BatchState.set: a sequence is given twice; add its counts into one entry.");
    }
    const before = entries.map((entry) => entry.sequence.length);
    try {
      for (const { sequence, count } of entries) sequence.extend(count);
    } catch (error) {
      entries.forEach(({ sequence }, i) => {
        const length = before[i] as number;
        if (sequence.length > length) sequence.truncate(length);
      });
      throw error;
    }
    this.#write(entries.map((entry, i) => ({ ...entry, from: before[i] as number })));
  }

  /** Prepares query rows over cached tokens; appends nothing. @throws ShapeError when they are not in the cache */
  revisit(entries: readonly RevisitEntry[]): void {
    this.#checkCapacity(entries);
    for (const { sequence, from, count } of entries) {
      if (!Number.isInteger(from) || from < 0 || from + count > sequence.length) {
        throw new ShapeError(
          `BatchState.revisit: ${count} rows from position ${from} are not all cached; the sequence holds ${sequence.length} tokens.`,
        );
      }
    }
    this.#write(entries);
  }

  /**
   * The batch of the last `set` or `revisit`. Its tensors are the same memory every time, so a step recorded with them
   * may be replayed after another `set` with the same counts.
   */
  get batch(): SequenceBatch {
    const { queryStarts, queryPositions, kvLengths, pageTable } = this.tensors;
    return {
      sequences: this.#sequences,
      rows: this.#rows,
      maxQueryLength: this.#maxQueryLength,
      maxKvLength: this.cache.contextLength,
      queryStarts: queryStarts.view({ rows: [0, this.#sequences + 1] }),
      queryPositions: queryPositions.view({ rows: [0, this.#sequences] }),
      kvLengths: kvLengths.view({ rows: [0, this.#sequences] }),
      pageTable: pageTable.view({ rows: [0, this.#sequences] }),
    };
  }

  /** i32 `[rows]`: absolute position of each query row. */
  get positions(): DeviceTensor {
    return this.tensors.positions.view({ rows: [0, this.#rows] });
  }

  release(): void {
    for (const tensor of Object.values(this.tensors)) tensor.release();
  }

  #checkCapacity(entries: readonly BatchEntry[]): void {
    if (entries.length < 1 || entries.length > this.capacity.sequences) {
      throw new ShapeError(`BatchState: ${entries.length} sequences given; 1 to ${this.capacity.sequences} fit.`);
    }
    let rows = 0;
    for (const { count } of entries) {
      if (!Number.isInteger(count) || count < 1) throw new ShapeError(`BatchState: ${count} query rows; each sequence needs 1 or more.`);
      rows += count;
    }
    if (rows > this.capacity.rows) {
      throw new ShapeError(`BatchState: ${rows} query rows given; ${this.capacity.rows} fit. Process them in chunks.`);
    }
  }

  #write(entries: readonly RevisitEntry[]): void {
    const { backend, tensors, cache } = this;
    const starts = [0];
    const positions: number[] = [];
    const pageTable = new Int32Array(entries.length * cache.maxPages);
    entries.forEach(({ sequence, from, count }, s) => {
      for (let i = 0; i < count; i++) positions.push(from + i);
      starts.push(positions.length);
      pageTable.set(sequence.pages, s * cache.maxPages);
    });
    backend.write(tensors.queryStarts, Int32Array.from(starts));
    backend.write(tensors.queryPositions, Int32Array.from(entries, (entry) => entry.from));
    backend.write(tensors.kvLengths, Int32Array.from(entries, (entry) => entry.sequence.length));
    backend.write(tensors.pageTable, pageTable);
    backend.write(tensors.positions, Int32Array.from(positions));
    this.#rows = positions.length;
    this.#sequences = entries.length;
    this.#maxQueryLength = Math.max(...entries.map((entry) => entry.count));
  }
}
