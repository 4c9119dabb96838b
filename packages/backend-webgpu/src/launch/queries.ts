/** The query rows of an op, what they mean for the cache's heads, and how they are cut into tiles. */
import { ShapeError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import type { LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import { activationRows } from "../checks.ts";
import type { Machine } from "../machine.ts";
import type { Constants } from "../pipelines.ts";
import type { WebGpuTensor } from "../webgpu-tensor.ts";

export interface Queries {
  readonly tensor: WebGpuTensor;
  readonly heads: number;
  /** Query heads that share a KV head. */
  readonly group: number;
}

/** `[rows, heads * headDim]`. @throws ShapeError when heads are not whole or KV heads do not divide them */
export function queriesOf(machine: Machine, what: string, q: DeviceTensor, shape: LayerCacheShape, batch: SequenceBatch): Queries {
  const { headDim, kvHeads } = shape;
  const tensor = activationRows(machine, `${what}: q`, q, { rows: batch.rows });
  const heads = tensor.columns / headDim;
  if (!Number.isInteger(heads) || heads < 1 || heads % kvHeads !== 0) {
    throw new ShapeError(
      `${what}: q has ${tensor.columns} columns; with head_dim ${headDim} and ${kvHeads} KV heads it must be ` +
        `a multiple of ${headDim * kvHeads}.`,
    );
  }
  return { tensor, heads, group: heads / kvHeads };
}

/** A tile of kernels/common/query-tile.wgsl. */
export interface QueryTile {
  /** Queries of a tile: a power of two from 4 up. */
  readonly rows: number;
  readonly tokens: number;
  /** Tiles that a token's group of heads takes. */
  readonly chunks: number;
}

/** Head dims that have kernels of their own. */
const fixedHeadDims: readonly number[] = [64, 128];
/** Tiles smaller than the largest: more sizes would mean more kernels to compile. */
const smallTiles = [4, 16] as const;

/** Tiles for the heads of `tokens` neighbouring rows. */
export function queryTile(machine: Machine, group: number, tokens: number): QueryTile {
  const rows = smallTiles.find((size) => group * tokens <= size) ?? machine.tiles.attendRows;
  return { rows, tokens: Math.max(1, Math.min(tokens, Math.floor(rows / group))), chunks: Math.ceil(group / rows) };
}

/** Rows of tiles whose invocations are few, so that each has many loads. */
const FEW_ROWS = 16;

/**
 * Constants of kernels/common/score-tile.wgsl. Eight loads under way instead of four gain a tenth in small tiles of 16-bit
 * numbers; in f32 they take registers that workgroups then lack.
 */
export function tileConstants({ activation, features }: Machine, { rows }: QueryTile, headDim: number): Constants {
  const loads = rows <= FEW_ROWS && activation === "f16" ? 8 : 4;
  return { TILE_ROWS: rows, HEAD_DIM: fixedHeadDims.includes(headDim) ? headDim : 0, LOADS: features.software ? 1 : loads };
}
