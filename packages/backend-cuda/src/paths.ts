/**
 * Which kernels an op takes. `hopper`: wgmma and the copy engine, tiles of neighbouring rows. `rows`: each row by itself
 * on tensor cores, spread over the chip; made for decoding, and the best prefill before Hopper. `general`: plain loops for
 * any shape.
 */
import type { CacheDType } from "@infllm/tensor";
import type { SparseConfig } from "@infllm/block-selection";
import { cacheVariant } from "./cuda-cache.ts";
import type { Machine } from "./machine.ts";

export type Path = "hopper" | "rows" | "general";
export type PathOp = "selectBlocks" | "attendBlocks" | "attendDense";

/** What of a model decides. */
export interface AttentionShape {
  /** Of the KV cache. */
  readonly dtype: CacheDType;
  readonly headDim: number;
  /** Query heads that share a KV head. */
  readonly group: number;
  readonly kvHeads: number;
  readonly blockSize: number;
  readonly sparse?: SparseConfig | undefined;
}

/** Rows of a step up to which it counts as decoding. */
export const DECODE_ROWS = 16;
/** Counters and partial sums of the `rows` kernels are kept for this many (row, KV head) pairs at most. */
const MOST_ROW_HEADS = 32768;

/**
 * Bodies of kernels that an op needs on a path; `V` is the variant of group and head_dim, `D` that of head_dim alone, `K`
 * that of the cache's type and head_dim.
 */
const kernels: Readonly<Record<PathOp, Readonly<Record<"hopper" | "rows", readonly string[]>>>> = {
  selectBlocks: { hopper: ["gather_index", "score_blocks_V", "select_top"], rows: ["decode_lse_D", "decode_score_D"] },
  attendBlocks: {
    hopper: ["union_blocks", "attend_blocks_V"],
    rows: ["decode_attend_cluster_K", "decode_attend_K", "decode_combine_D"],
  },
  attendDense: { hopper: ["attend_dense_V"], rows: ["decode_attend_K", "decode_combine_D"] },
};

type Activation = Pick<Machine, "activation">;

/** Names of a variant's kernels end like this. */
export function hopperVariant({ activation }: Activation, { group, headDim }: Pick<AttentionShape, "group" | "headDim">): string {
  return `${activation}_g${group}_d${headDim}`;
}
export function rowsVariant({ activation }: Activation, { headDim }: Pick<AttentionShape, "headDim">): string {
  return `${activation}_d${headDim}`;
}
/** Those of `rows` that read the cache. */
export function cachedRowsVariant(machine: Activation, { dtype, headDim }: Pick<AttentionShape, "dtype" | "headDim">): string {
  return `${cacheVariant(machine, dtype)}_d${headDim}`;
}

/** The path that `op` takes for `rows` query rows on this GPU. */
export function pathOf(machine: Machine, op: PathOp, shape: AttentionShape, rows: number): Path {
  if (!fitsBlocks(op, shape)) return "general";
  const suffixes: Record<string, string> = {
    V: hopperVariant(machine, shape), D: rowsVariant(machine, shape), K: cachedRowsVariant(machine, shape),
  };
  const built = (path: "hopper" | "rows"): boolean =>
    kernels[op][path].every((name) => machine.has(name.replace(/[VDK]$/, (letter) => suffixes[letter] ?? letter)));
  const byRows = shape.group <= 16 && rows * shape.kvHeads <= MOST_ROW_HEADS && built("rows");
  if (byRows && rows <= DECODE_ROWS) return "rows";
  if (built("hopper")) return "hopper";
  return byRows ? "rows" : "general";
}

/** All kernels but the general ones are made for pages of 64 tokens, and windows of 32 at stride 16. */
function fitsBlocks(op: PathOp, { blockSize, sparse }: AttentionShape): boolean {
  if (blockSize !== 64) return false;
  return op !== "selectBlocks" || (sparse?.kernelSize === 32 && sparse.kernelStride === 16);
}

export interface PathReport {
  readonly op: PathOp;
  readonly prefill: Path;
  readonly decode: Path;
}

/** Which path a model of this shape gets, for `devices` and `inspect`. */
export function describePaths(machine: Machine, shape: AttentionShape): PathReport[] {
  const ops: PathOp[] = shape.sparse ? ["selectBlocks", "attendBlocks", "attendDense"] : ["attendDense"];
  return ops.map((op) => ({ op, prefill: pathOf(machine, op, shape, 512), decode: pathOf(machine, op, shape, 1) }));
}
