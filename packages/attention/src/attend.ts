/** One attention layer on given tensors, on any backend: for users of the library and for `infllm attention`. */
import { ConfigError, ShapeError, fromF32, hostArray, hostTensor, toF32 } from "@infllm/tensor";
import type { CacheDType, DeviceTensor, HostArray } from "@infllm/tensor";
import { appendRows, blockBudget, blockCount, checkQueries } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import type { AttendDenseInput } from "./attend-dense.ts";
import { BatchState } from "./batch-state.ts";
import type { RevisitEntry } from "./batch-state.ts";
import type { CachedSequence } from "./cached-sequence.ts";
import { checkValues } from "./check-values.ts";
import type { AttentionBackend } from "./contracts.ts";
import { KvCache } from "./kv-cache.ts";
import { attendsSparsely } from "./switch.ts";
import type { AttentionMode } from "./switch.ts";

/** q, k and v are f32 `[length, heads or kvHeads, headDim]` after RoPE; the queries are the last positions of k. */
export interface AttendInput extends Omit<AttendDenseInput, "positions"> {
  /** Needed for mode "sparse"; without it "auto" is dense. */
  readonly config?: SparseConfig | undefined;
  /** "auto" when absent: sparse from `config.denseLen` keys on. */
  readonly mode?: AttentionMode | undefined;
  /** Which rows of q to compute, in this order; all when absent. */
  readonly rows?: readonly number[] | undefined;
  /** Rows processed at once, which bounds device memory beside the cache; the backend's `prefillRows` when absent. */
  readonly chunk?: number | undefined;
  /** Whether to return `blockScores`, `kvHeads × rows × blocks` numbers; true when absent. */
  readonly scores?: boolean | undefined;
  /** How the backend stores K and V; its first choice when absent. */
  readonly kvCache?: CacheDType | undefined;
  /** Called after each chunk of rows and waited for; what it throws ends the computation. */
  readonly onProgress?: ((progress: { readonly processed: number; readonly total: number }) => void | Promise<void>) | undefined;
}

export interface AttendResult {
  readonly sparse: boolean;
  /** f32 `[rows, heads, headDim]` */
  readonly out: Float32Array;
  /** i32 `[kvHeads, rows, blockBudget(config)]`, ascending, −1 padded; when sparse */
  readonly blockIndices?: Int32Array;
  /** f32 `[kvHeads, rows, blocks]`, pooled, before forcing, −Infinity where a block has no window; when sparse and wanted */
  readonly blockScores?: Float32Array;
}

/** @throws ShapeError, ConfigError, OutOfMemoryError, UnsupportedError */
export async function attend(backend: AttentionBackend, input: AttendInput): Promise<AttendResult> {
  const { length, rows: queryRows } = checkQueries(input);
  checkValues(input);
  if (queryRows === 0) throw new ShapeError("attend: q has no rows; give at least one query.");
  if (input.mode === "sparse" && input.config === undefined) {
    throw new ConfigError('attend: mode "sparse" needs a sparse config. Pass one, or use mode "dense".');
  }
  const rows = input.rows ?? Array.from({ length: queryRows }, (_, row) => row);
  checkRows(rows, queryRows);
  const chunk = input.chunk ?? backend.capabilities.prefillRows;
  if (!Number.isInteger(chunk) || chunk < 1) throw new ConfigError(`attend: chunk is ${chunk}; it must be a positive integer.`);

  const sparse = attendsSparsely(input.mode ?? "auto", length, input.config);
  const config = sparse ? input.config : undefined;
  const { kvHeads, headDim } = input;
  const cache = KvCache.allocate(backend, {
    layers: 1, kvHeads, headDim, contextLength: length, sparse: config, dtype: input.kvCache,
  });
  try {
    const sequence = cache.addSequence();
    appendAll(backend, cache, sequence, input, length, chunk);
    return await attendRows(backend, cache, sequence, input, rows, length - queryRows, chunk);
  } finally {
    cache.close();
  }
}

function checkRows(rows: readonly number[], queryRows: number): void {
  if (rows.length === 0) throw new ShapeError("attend: rows is empty; leave it out to compute all rows.");
  for (const row of rows) {
    if (!Number.isInteger(row) || row < 0 || row >= queryRows) {
      throw new ShapeError(`attend: row ${row} is not among the ${queryRows} rows of q; allowed are 0 to ${queryRows - 1}.`);
    }
  }
}

/** Fills the cache, `chunk` tokens at a time. */
function appendAll(
  backend: AttentionBackend,
  cache: KvCache,
  sequence: CachedSequence,
  { k, v, kvHeads, headDim }: AttendInput,
  length: number,
  chunk: number,
): void {
  const width = kvHeads * headDim;
  const held = new Held();
  try {
    const state = held.hold(BatchState.allocate(backend, cache, { rows: chunk, sequences: 1 }));
    const deviceK = held.hold(activations(backend, chunk, width));
    const deviceV = held.hold(activations(backend, chunk, width));
    for (let from = 0; from < length; from += chunk) {
      const count = Math.min(chunk, length - from);
      state.set([{ sequence, count }]);
      backend.write(deviceK, encode(backend, k.subarray(from * width, (from + count) * width)));
      backend.write(deviceV, encode(backend, v.subarray(from * width, (from + count) * width)));
      const rows = { rows: [0, count] } as const;
      for (const layer of cache.layers) {
        appendRows(backend.selection, { k: deviceK.view(rows), v: deviceV.view(rows), cache: layer, batch: state.batch });
      }
    }
  } finally {
    held.release();
  }
}

/** Computes the wanted rows, `chunk` at a time, over the filled cache. `first` is the position of query row 0. */
async function attendRows(
  backend: AttentionBackend,
  cache: KvCache,
  sequence: CachedSequence,
  input: AttendInput,
  rows: readonly number[],
  first: number,
  chunk: number,
): Promise<AttendResult> {
  const { heads, kvHeads, headDim, q } = input;
  const config = cache.shape.sparse;
  const width = heads * headDim;
  const scale = input.scale ?? 1 / Math.sqrt(headDim);
  const out = new Float32Array(rows.length * width);
  const budget = config ? blockBudget(config) : 0;
  const blocks = config && input.scores !== false ? blockCount(sequence.length, cache.blockSize) : 0;
  const held = new Held();
  try {
    const indices = held.hold(new PerHead(backend, "i32", kvHeads, rows.length, chunk, budget));
    const scores = held.hold(new PerHead(backend, "f32", kvHeads, rows.length, chunk, blocks));
    const state = held.hold(BatchState.allocate(backend, cache, { rows: chunk, sequences: chunk }));
    const deviceQ = held.hold(activations(backend, chunk, width));
    const deviceOut = held.hold(activations(backend, chunk, width));
    for (let from = 0; from < rows.length; from += chunk) {
      const some = rows.slice(from, from + chunk);
      state.revisit(runs(some).map(([row, count]) => ({ sequence, from: first + row, count }) satisfies RevisitEntry));
      backend.write(deviceQ, encode(backend, gatherRows(q, some, width)));
      const view = { rows: [0, some.length] } as const;
      const [qRows, outRows] = [deviceQ.view(view), deviceOut.view(view)];
      for (const layer of cache.layers) {
        const args = { q: qRows, cache: layer, batch: state.batch, scale };
        const blockIndices = indices.tensor;
        if (blockIndices === undefined) {
          backend.attention.attendDense({ ...args, out: outRows });
          continue;
        }
        backend.selection.selectBlocks({ ...args, blockIndices, ...(scores.tensor && { blockScores: scores.tensor }) });
        backend.attention.attendBlocks({ ...args, blockIndices, out: outRows });
      }
      out.set(decode(backend, await backend.read(outRows)), from * width);
      await indices.collect(from, some.length);
      await scores.collect(from, some.length);
      await input.onProgress?.({ processed: from + some.length, total: rows.length });
    }
    return {
      sparse: config !== undefined,
      out,
      ...(indices.tensor && { blockIndices: indices.host as Int32Array }),
      ...(scores.tensor && { blockScores: scores.host as Float32Array }),
    };
  } finally {
    held.release();
  }
}

/** Device memory of one call, released together. */
class Held {
  readonly #resources: { release(): void }[] = [];

  hold<T extends { release(): void }>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  release(): void {
    for (const resource of this.#resources.splice(0)) resource.release();
  }
}

/** A device tensor `[kvHeads, chunk, columns]` and the host array `[kvHeads, rows, columns]` it fills chunk by chunk. */
class PerHead {
  /** Absent when there are no columns: nothing of the kind is wanted. */
  readonly tensor: DeviceTensor | undefined;
  readonly host: Int32Array | Float32Array;

  constructor(
    private readonly backend: AttentionBackend,
    dtype: "i32" | "f32",
    private readonly kvHeads: number,
    private readonly rows: number,
    private readonly chunk: number,
    private readonly columns: number,
  ) {
    this.tensor = columns > 0 ? backend.allocate(dtype, [kvHeads, chunk, columns]) : undefined;
    const length = kvHeads * rows * columns;
    this.host = dtype === "i32" ? new Int32Array(length) : new Float32Array(length);
  }

  /** Copies the device's first `count` rows of every head to rows `from` on. */
  async collect(from: number, count: number): Promise<void> {
    if (this.tensor === undefined) return;
    const { kvHeads, rows, chunk, columns, host } = this;
    const data = await this.backend.read(this.tensor);
    for (let head = 0; head < kvHeads; head++) {
      const start = head * chunk * columns;
      host.set(data.subarray(start, start + count * columns), (head * rows + from) * columns);
    }
  }

  release(): void {
    this.tensor?.release();
  }
}

/** Runs of consecutive rows: `[5, 6, 7, 2]` → `[[5, 3], [2, 1]]`. Each becomes one sequence of the batch. */
function runs(rows: readonly number[]): [first: number, count: number][] {
  const found: [number, number][] = [];
  for (const row of rows) {
    const last = found.at(-1);
    if (last !== undefined && last[0] + last[1] === row) last[1]++;
    else found.push([row, 1]);
  }
  return found;
}

function gatherRows(data: Float32Array, rows: readonly number[], width: number): Float32Array {
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, i) => out.set(data.subarray(row * width, (row + 1) * width), i * width));
  return out;
}

function activations(backend: AttentionBackend, rows: number, width: number): DeviceTensor {
  return backend.allocate(backend.capabilities.activation, [rows, width]);
}

/** f32 numbers as the backend's activation type. */
function encode({ capabilities: { activation } }: AttentionBackend, values: Float32Array): HostArray {
  if (activation === "f32") return values;
  return hostArray(hostTensor(activation, [values.length], fromF32(activation, values)));
}

function decode({ capabilities: { activation } }: AttentionBackend, values: HostArray): Float32Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return toF32(activation, bytes, values.length);
}
