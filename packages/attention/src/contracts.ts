/** What a backend must do to attend, on top of selection. */
import type { DeviceTensor } from "@infllm/tensor";
import type { HostOps } from "./host-ops.ts";
import type { LayerCache, SelectionBackend, SequenceBatch } from "@infllm/block-selection";

export interface AttendDenseArgs {
  /** `[rows, heads * headDim]`; query head h uses KV head floor(h / (heads / kvHeads)). */
  readonly q: DeviceTensor;
  readonly cache: LayerCache;
  readonly batch: SequenceBatch;
  /** Multiplies q·k; usually 1 / √headDim. */
  readonly scale: number;
  /** `[rows, heads * headDim]`: softmax over all positions up to the row's own. */
  readonly out: DeviceTensor;
}

export interface AttendBlocksArgs extends AttendDenseArgs {
  /** i32 `[kvHeads, capacity ≥ rows, budget]` as `selectBlocks` writes it: ascending, −1 padded, none after the row's block. */
  readonly blockIndices: DeviceTensor;
}

export interface AttentionOps {
  attendDense(args: AttendDenseArgs): void;
  /** Softmax over the tokens of the selected blocks up to the row's own position. */
  attendBlocks(args: AttendBlocksArgs): void;
}

export interface AttentionBackend extends SelectionBackend {
  readonly attention: AttentionOps;
  /** What methods of `@infllm/attention/methods` and measurements run on; absent where ops run later. */
  readonly host?: HostOps;
}
