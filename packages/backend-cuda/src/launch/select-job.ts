/** A selection after its arguments were checked, for whichever kernels do it. */
import type { WindowLevel } from "@infllm/block-selection";
import type { CudaCache } from "../cuda-cache.ts";
import type { KernelArgs } from "../kernel-args.ts";
import type { Sequences } from "../sequences.ts";
import type { Queries } from "./queries.ts";

export interface SelectJob {
  readonly queries: Queries;
  readonly layer: CudaCache;
  readonly sequences: Sequences;
  readonly fine: WindowLevel;
  /** Windows whose log-sum-exp normalises: the fine ones when `exact`, else the coarse ones. */
  readonly normal: WindowLevel;
  readonly exact: boolean;
  /** In blocks: `struct Selection`. */
  readonly rules: { readonly init: number; readonly local: number; readonly budget: number };
  readonly scaleLog2: number;
  /** Blocks that a sequence may have. */
  readonly blocks: number;
  /** Addresses of `[kvHeads, capacity, budget]` and `[kvHeads, capacity, pooledBlocks]` or 0. */
  readonly indices: number;
  readonly capacity: number;
  readonly pooled: number;
  readonly pooledBlocks: number;
}

/** `Batch batch; Selection rules; float scale_log2`, which all argument structures of selection begin with. */
export function packCommon(args: KernelArgs, { sequences, rules, scaleLog2 }: SelectJob): KernelArgs {
  return sequences.pack(args).i32(rules.init).i32(rules.local).i32(rules.budget).f32(scaleLog2);
}

/** Address of the keys that normalise. */
export function normalKeys({ layer, exact }: SelectJob): number {
  return layer.addresses[exact ? "fine-keys" : "coarse-keys"];
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
