/** Attention of one layer: what a model calls between the projections. */
import { UsageError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import { appendRows } from "@infllm/block-selection";
import type { LayerCache, SequenceBatch } from "@infllm/block-selection";
import type { AttentionBackend } from "./contracts.ts";

export interface AttendLayerArgs {
  /** `[rows, heads * headDim]`, after RoPE */
  readonly q: DeviceTensor;
  /** `[rows, kvHeads * headDim]`, k after RoPE: appended to the cache at the rows' positions */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly cache: LayerCache;
  readonly batch: SequenceBatch;
  /** Multiplies q·k; usually 1 / √headDim. */
  readonly scale: number;
  /** What `attendsSparsely` decided; one choice for the whole batch. */
  readonly sparse: boolean;
  /** i32 `[kvHeads, capacity ≥ rows, blockBudget(config)]`, needed when sparse: receives the selected blocks. */
  readonly blockIndices?: DeviceTensor | undefined;
  /** `[rows, heads * headDim]` */
  readonly out: DeviceTensor;
}

/**
 * Appends, compresses, selects and attends. Keys are compressed in dense steps, too, when the cache may be used
 * sparsely later: a step costs one window per `kernelStride` tokens, and nothing has to be rebuilt at the switch.
 * @throws UsageError when sparse without `blockIndices` or without a sparse config in the cache.
 */
export function attendLayer(backend: AttentionBackend, args: AttendLayerArgs): void {
  const { q, k, v, cache, batch, scale, sparse, blockIndices, out } = args;
  appendRows(backend.selection, { k, v, cache, batch });
  if (!sparse) {
    backend.attention.attendDense({ q, cache, batch, scale, out });
    return;
  }
  if (blockIndices === undefined) throw new UsageError("attendLayer: sparse attention needs a blockIndices tensor.");
  backend.selection.selectBlocks({ q, cache, batch, scale, blockIndices });
  backend.attention.attendBlocks({ q, cache, batch, scale, blockIndices, out });
}
