/** One attention layer with a filled cache, to be timed; the same on every backend. */
import type { CpuBackend } from "@infllm/backend-cpu";
import { blockBudget } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { random } from "@infllm/tensor";
import type { HostArray } from "@infllm/tensor";

export interface LayerSize {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Cached tokens; the query rows are the last ones. */
  readonly length: number;
  readonly rows: number;
}

export interface AttentionLayer {
  dense(): void;
  select(): void;
  /** Over the blocks that `select` chose. */
  sparse(): void;
  output(): Promise<HostArray>;
  indices(): Promise<HostArray>;
}

export function attentionLayer(backend: CpuBackend, size: LayerSize, config: SparseConfig): AttentionLayer {
  const { heads, kvHeads, headDim, length, rows } = size;
  const { blockSize } = config;
  const pages = Math.ceil(length / blockSize);
  const numbers = random(2);
  const tensor = (shape: number[]): ReturnType<CpuBackend["allocate"]> => {
    const made = backend.allocate("f32", shape);
    backend.write(made, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => numbers.normal()));
    return made;
  };
  const cache = backend.selection.allocateCache({ pages, kvHeads, headDim, blockSize, dtype: "f32", sparse: config });
  const pageTable = backend.allocate("i32", [1, pages]);
  backend.write(pageTable, Int32Array.from({ length: pages }, (_, page) => page));
  const list = (...values: number[]): ReturnType<CpuBackend["allocate"]> => {
    const made = backend.allocate("i32", [values.length]);
    backend.write(made, Int32Array.from(values));
    return made;
  };
  const batchOf = (count: number) => ({
    sequences: 1,
    rows: count,
    maxQueryLength: count,
    maxKvLength: length,
    queryStarts: list(0, count),
    queryPositions: list(length - count),
    kvLengths: list(length),
    pageTable,
  });
  const whole = batchOf(length);
  const [k, v] = [tensor([length, kvHeads * headDim]), tensor([length, kvHeads * headDim])];
  backend.selection.appendKv({ k, v, cache, batch: whole });
  backend.selection.compressKeys({ cache, batch: whole });

  const batch = batchOf(rows);
  const q = tensor([rows, heads * headDim]);
  const out = backend.allocate("f32", [rows, heads * headDim]);
  const blockIndices = backend.allocate("i32", [kvHeads, rows, blockBudget(config)]);
  const scale = 1 / Math.sqrt(headDim);
  return {
    dense: () => backend.attention.attendDense({ q, cache, batch, scale, out }),
    select: () => backend.selection.selectBlocks({ q, cache, batch, scale, blockIndices }),
    sparse: () => backend.attention.attendBlocks({ q, cache, batch, scale, blockIndices, out }),
    output: () => backend.read(out),
    indices: () => backend.read(blockIndices),
  };
}
