/** One attention layer with seeded inputs on any backend: fills a cache chunk by chunk and returns what each op gave. */
import { random } from "@infllm/tensor";
import type { CacheDType, HostArray } from "@infllm/tensor";
import { blockBudget } from "@infllm/block-selection";
import type { SequenceBatch, SparseConfig } from "@infllm/block-selection";
import type { CpuBackend } from "../src/index.ts";

export interface LayerCase {
  readonly seed: number;
  readonly length: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly headDim: number;
  readonly dtype: CacheDType;
  readonly config: SparseConfig;
  /** Query rows of each step; they add up to `length`. */
  readonly chunks: readonly number[];
}

export interface LayerResult {
  readonly dense: Float32Array;
  readonly sparse: Float32Array;
  readonly indices: Int32Array;
  readonly scores: Float32Array;
  readonly fine: Float32Array;
  readonly coarse: Float32Array;
}

/** Rows of all chunks, joined; indices and scores as `[rows, kvHeads, …]`. */
export async function runLayer(backend: CpuBackend, test: LayerCase): Promise<LayerResult> {
  const { seed, length, kvHeads, group, headDim, config, dtype } = test;
  const heads = kvHeads * group;
  const { blockSize } = config;
  const blocks = Math.ceil(length / blockSize);
  const budget = blockBudget(config);
  const generator = random(seed);
  const normal = (count: number): Float32Array => Float32Array.from({ length: count }, () => generator.normal());
  const q = normal(length * heads * headDim);
  const k = normal(length * kvHeads * headDim);
  const v = normal(length * kvHeads * headDim);

  const cache = backend.selection.allocateCache({ pages: blocks + 2, kvHeads, headDim, blockSize, dtype, sparse: config });
  const most = Math.max(...test.chunks);
  const scratch = {
    q: backend.allocate("f32", [most, heads * headDim]),
    kv: backend.allocate("f32", [most, 2 * kvHeads * headDim]),
    out: backend.allocate("f32", [most, heads * headDim]),
    indices: backend.allocate("i32", [kvHeads, most + 1, budget]),
    scores: backend.allocate("f32", [kvHeads, most + 1, blocks]),
  };
  const lists = {
    queryStarts: backend.allocate("i32", [2]),
    queryPositions: backend.allocate("i32", [1]),
    kvLengths: backend.allocate("i32", [1]),
    pageTable: backend.allocate("i32", [1, blocks]),
  };
  // Pages in reverse, so that a block is never at its own number.
  backend.write(lists.pageTable, Int32Array.from({ length: blocks }, (_, b) => blocks + 1 - b));

  const parts = { dense: [], sparse: [], indices: [], scores: [] } as Record<"dense" | "sparse" | "indices" | "scores", HostArray[]>;
  let position = 0;
  let batch: SequenceBatch | undefined;
  for (const rows of test.chunks) {
    backend.write(lists.queryStarts, Int32Array.of(0, rows));
    backend.write(lists.queryPositions, Int32Array.of(position));
    backend.write(lists.kvLengths, Int32Array.of(position + rows));
    batch = { sequences: 1, rows, maxQueryLength: rows, maxKvLength: length, ...lists };
    const width = kvHeads * headDim;
    backend.write(scratch.q, q.subarray(position * heads * headDim, (position + rows) * heads * headDim));
    const [keys, values] = [0, width].map((from) => scratch.kv.view({ rows: [0, rows], columns: [from, from + width] }));
    if (keys === undefined || values === undefined) throw new Error("unreachable");
    backend.write(keys, k.subarray(position * width, (position + rows) * width));
    backend.write(values, v.subarray(position * width, (position + rows) * width));
    const queries = scratch.q.view({ rows: [0, rows] });
    const out = scratch.out.view({ rows: [0, rows] });
    const scale = 1 / Math.sqrt(headDim);
    const { indices: blockIndices, scores: blockScores } = scratch;

    backend.selection.appendKv({ k: keys, v: values, cache, batch });
    backend.selection.compressKeys({ cache, batch });
    backend.attention.attendDense({ q: queries, cache, batch, scale, out });
    parts.dense.push(await backend.read(out));
    backend.selection.selectBlocks({ q: queries, cache, batch, scale, blockIndices, blockScores });
    backend.attention.attendBlocks({ q: queries, cache, batch, scale, blockIndices, out });
    parts.sparse.push(await backend.read(out));
    const [allIndices, allScores] = [await backend.read(blockIndices), await backend.read(blockScores)];
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < kvHeads; head++) {
        const at = head * (most + 1) + row;
        parts.indices.push(allIndices.subarray(at * budget, (at + 1) * budget));
        parts.scores.push(allScores.subarray(at * blocks, (at + 1) * blocks));
      }
    }
    position += rows;
  }
  if (batch === undefined) throw new Error("A layer needs a chunk.");
  const windows = (factor: number): number =>
    Math.max(0, Math.floor((length - factor * config.kernelSize) / (factor * config.kernelStride)) + 1);
  const result: LayerResult = {
    dense: Float32Array.from(joined(parts.dense)),
    sparse: Float32Array.from(joined(parts.sparse)),
    indices: Int32Array.from(joined(parts.indices)),
    scores: Float32Array.from(joined(parts.scores)),
    fine: await backend.selection.readCache(cache, "fine-keys", batch, 0, 0, windows(1)),
    coarse: await backend.selection.readCache(cache, "coarse-keys", batch, 0, 0, windows(4)),
  };
  cache.release();
  for (const tensor of [...Object.values(scratch), ...Object.values(lists)]) tensor.release();
  return result;
}

function joined(parts: readonly HostArray[]): number[] {
  return parts.flatMap((part) => Array.from(part));
}
