/**
 * Prefill scores on Hopper without head-group fusion: every head's scores go to device memory and are summed over the group
 * by a second kernel (select-blocks-unfused.cu). The block scores are the same; for comparison only.
 */
import type { KernelArgs } from "../kernel-args.ts";
import type { LaunchSize, Machine } from "../machine.ts";

/** Scores of single heads held at a time, in bytes. */
const HEAD_BYTES = 2 ** 31;
const SCORE_BYTES = 4;
/** As in select-blocks-unfused.cu. */
const POOL_THREADS = 256;

/** A pass of score tiles over a chunk of rows. */
export interface ScorePass {
  /** dtype, group and head_dim, as kernels are named. */
  readonly variant: string;
  readonly size: LaunchSize;
  /** Rows of the chunk. */
  readonly rows: number;
  readonly kvHeads: number;
  readonly group: number;
  /** `struct ScoreArgs`. */
  readonly scoring: (args: KernelArgs) => KernelArgs;
  /** The tensors that tiles are loaded from, and the tiles of a sequence. */
  readonly tiles: (args: KernelArgs) => KernelArgs;
}

/** Bytes of the scores of all heads for `rows` rows of `cells` cells. */
export function headScoreBytes(heads: number, rows: number, cells: number): number {
  return heads * rows * cells * SCORE_BYTES;
}

/** Rows to do at a time, whole tiles: as many as 2 GiB of scores allow, and one tile at least. */
export function unfusedChunk(heads: number, cells: number, tileTokens: number): number {
  return Math.max(1, Math.floor(HEAD_BYTES / headScoreBytes(heads, tileTokens, cells))) * tileTokens;
}

/** Writes the block scores of a chunk; `heads` is the address of `headScoreBytes` for it. */
export function scoreUnfused(machine: Machine, pass: ScorePass, heads: number): void {
  machine.launch(`score_heads_${pass.variant}`, pass.size, (args) => pass.tiles(args.struct(pass.scoring)).pointer(heads));
  machine.launch("pool_heads", { grid: [pass.rows, pass.kvHeads], block: [POOL_THREADS] }, (args) =>
    args.struct(pass.scoring).pointer(heads).i32(pass.group),
  );
}
