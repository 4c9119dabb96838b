/** One attention layer with a filled cache, to be timed; the same numbers on every backend. */
import { BatchState, KvCache, type AttentionBackend } from "@infllm/attention";
import { blockBudget, blockCount, type SparseConfig } from "@infllm/block-selection";
import { fromF32, hostArray, random, toF32, type Backend, type DeviceTensor, type DType } from "@infllm/tensor";

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
  /** Compresses the keys of the last chunk of the cache, of up to 4096 tokens, anew. */
  compress(): void;
  select(): void;
  /** Selects and stores the pooled scores of all blocks beside. */
  selectStored(): void;
  /** Over the blocks that `select` chose. */
  sparse(): void;
  /** f32 `[rows, heads * headDim]` of the last `dense` or `sparse`. */
  output(): Promise<Float32Array>;
  /** i32 `[kvHeads, rows, budget]` */
  indices(): Promise<Int32Array>;
  /** Replaces what `select` chose, in the same layout. */
  choose(indices: Int32Array): void;
  release(): void;
}

/** Tokens appended at a time while the cache is filled. */
const chunk = 4096;

export function attentionLayer(backend: AttentionBackend, size: LayerSize, config: SparseConfig): AttentionLayer {
  const { heads, kvHeads, headDim, length, rows } = size;
  const { activation } = backend.capabilities;
  const owned: { release(): void }[] = [];
  const own = <T extends { release(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const allocate = (dtype: DType, shape: readonly number[]): DeviceTensor => own(backend.allocate(dtype, shape));
  const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength: length, sparse: config });
  own({ release: () => cache.close() });
  const [layer] = cache.layers;
  if (layer === undefined) throw new Error("The cache has no layer.");
  const sequence = cache.addSequence();
  const filling = own(BatchState.allocate(backend, cache, { rows: Math.min(length, chunk), sequences: 1 }));
  const numbers = random(2);
  const kvShape = [Math.min(length, chunk), kvHeads * headDim] as const;
  const [k, v] = [allocate(activation, kvShape), allocate(activation, kvShape)];
  for (let from = 0; from < length; from += chunk) {
    const count = Math.min(chunk, length - from);
    for (const tensor of [k, v]) writeF32(backend, tensor, numbers.normals(count * kvHeads * headDim));
    filling.set([{ sequence, count }]);
    const view = { rows: [0, count] } as const;
    backend.selection.appendKv({ k: k.view(view), v: v.view(view), cache: layer, batch: filling.batch });
    backend.selection.compressKeys({ cache: layer, batch: filling.batch });
  }

  const state = own(BatchState.allocate(backend, cache, { rows, sequences: 1 }));
  state.revisit([{ sequence, from: length - rows, count: rows }]);
  const { batch } = state;
  const q = allocate(activation, [rows, heads * headDim]);
  writeF32(backend, q, numbers.normals(rows * heads * headDim));
  const out = allocate(activation, [rows, heads * headDim]);
  const blockIndices = allocate("i32", [kvHeads, rows, blockBudget(config)]);
  let blockScores: DeviceTensor | undefined;
  const scale = 1 / Math.sqrt(headDim);
  const common = { q, cache: layer, batch, scale };
  return {
    dense: () => backend.attention.attendDense({ ...common, out }),
    compress: () => backend.selection.compressKeys({ cache: layer, batch: filling.batch }),
    select: () => backend.selection.selectBlocks({ ...common, blockIndices }),
    selectStored: () => {
      blockScores ??= allocate("f32", [kvHeads, rows, blockCount(length, config.blockSize)]);
      backend.selection.selectBlocks({ ...common, blockIndices, blockScores });
    },
    sparse: () => backend.attention.attendBlocks({ ...common, blockIndices, out }),
    output: async () => readF32(backend, out),
    indices: async () => Int32Array.from(await backend.read(blockIndices)),
    choose: (indices) => backend.write(blockIndices, indices),
    release: () => {
      for (const item of owned.splice(0).reverse()) item.release();
    },
  };
}

/** Writes numbers into the first rows of a tensor, rounded to its type. */
export function writeF32(backend: Backend, tensor: DeviceTensor, values: Float32Array): void {
  const { dtype } = tensor;
  backend.write(tensor, hostArray({ dtype, shape: [values.length], data: fromF32(dtype, values) }));
}

export async function readF32(backend: Backend, tensor: DeviceTensor): Promise<Float32Array> {
  const data = await backend.read(tensor);
  return toF32(tensor.dtype, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), data.length);
}
