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

/** Where each list begins in the tensor that holds them all, for a capacity. */
interface Lists {
  readonly queryStarts: number;
  readonly queryPositions: number;
  readonly kvLengths: number;
  readonly positions: number;
}

export class BatchState {
  #rows = 0;
  #sequences = 0;
  #maxQueryLength = 0;
  /** What the page table on the device holds; −1 where that is not known. */
  readonly #pages: Int32Array;
  readonly #at: Lists;

  private constructor(
    readonly capacity: BatchCapacity,
    private readonly backend: Backend,
    private readonly cache: KvCache,
    /** i32: the lists one after the other, so that a step writes them at once. */
    private readonly lists: DeviceTensor,
    private readonly pageTable: DeviceTensor,
  ) {
    const { sequences } = capacity;
    this.#pages = new Int32Array(sequences * cache.maxPages).fill(-1);
    this.#at = { queryStarts: 0, queryPositions: sequences + 1, kvLengths: 2 * sequences + 1, positions: 3 * sequences + 1 };
  }

  /** @throws ConfigError, OutOfMemoryError */
  static allocate(backend: Backend, cache: KvCache, capacity: BatchCapacity): BatchState {
    const { rows, sequences } = capacity;
    if (!Number.isInteger(rows) || !Number.isInteger(sequences) || rows < 1 || sequences < 1) {
      throw new ConfigError(`BatchState: capacity is ${rows} rows in ${sequences} sequences; both must be positive integers.`);
    }
    const lists = backend.allocate("i32", [3 * sequences + 1 + rows]);
    try {
      return new BatchState(capacity, backend, cache, lists, backend.allocate("i32", [sequences, cache.maxPages]));
    } catch (error) {
      lists.release();
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
    return {
      sequences: this.#sequences,
      rows: this.#rows,
      maxQueryLength: this.#maxQueryLength,
      maxKvLength: this.cache.contextLength,
      queryStarts: this.#list("queryStarts", this.#sequences + 1),
      queryPositions: this.#list("queryPositions", this.#sequences),
      kvLengths: this.#list("kvLengths", this.#sequences),
      pageTable: this.pageTable.view({ rows: [0, this.#sequences] }),
    };
  }

  /** i32 `[rows]`: absolute position of each query row. */
  get positions(): DeviceTensor {
    return this.#list("positions", this.#rows);
  }

  release(): void {
    this.lists.release();
    this.pageTable.release();
  }

  #list(name: keyof Lists, length: number): DeviceTensor {
    const from = this.#at[name];
    return this.lists.view({ rows: [from, from + length] });
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
    this.#writePages(entries);
    const at = this.#at;
    const rows = entries.reduce((sum, { count }) => sum + count, 0);
    const lists = new Int32Array(at.positions + rows);
    let row = 0;
    entries.forEach(({ sequence, from, count }, s) => {
      lists[at.queryStarts + s] = row;
      lists[at.queryPositions + s] = from;
      lists[at.kvLengths + s] = sequence.length;
      for (let i = 0; i < count; i++) lists[at.positions + row++] = from + i;
    });
    lists[at.queryStarts + entries.length] = row;
    this.backend.write(this.lists, lists);
    this.#rows = rows;
    this.#sequences = entries.length;
    this.#maxQueryLength = Math.max(...entries.map((entry) => entry.count));
  }

  /** Only where a sequence has other pages than at the last step: a decode step begins a page once in a block's tokens. */
  #writePages(entries: readonly RevisitEntry[]): void {
    const { maxPages } = this.cache;
    let changed = false;
    entries.forEach(({ sequence: { pages } }, s) => {
      for (let block = 0; block < maxPages; block++) {
        const page = pages[block] ?? 0;
        if (this.#pages[s * maxPages + block] === page) continue;
        this.#pages[s * maxPages + block] = page;
        changed = true;
      }
    });
    if (changed) this.backend.write(this.pageTable, this.#pages.subarray(0, entries.length * maxPages));
  }
}
