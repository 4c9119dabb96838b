import { ShapeError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import type { LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import type { CpuTensor } from "../wasm/cpu-tensor.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows } from "./checks.ts";

/** Scores are taken in base 2. */
export const LOG2E = Math.LOG2E;

export interface Queries {
  readonly tensor: CpuTensor;
  readonly heads: number;
  /** Query heads that share a KV head. */
  readonly group: number;
}

/** `[rows, heads * headDim]`. @throws ShapeError when heads are not whole or KV heads do not divide them */
export function queriesOf(machine: Machine, what: string, q: DeviceTensor, shape: LayerCacheShape, batch: SequenceBatch): Queries {
  const { headDim, kvHeads } = shape;
  const tensor = f32Rows(machine, `${what}: q`, q, { rows: batch.rows });
  const heads = tensor.columns / headDim;
  if (!Number.isInteger(heads) || heads < 1 || heads % kvHeads !== 0) {
    throw new ShapeError(
      `${what}: q has ${tensor.columns} columns; with head_dim ${headDim} and ${kvHeads} KV heads it must be ` +
        `a multiple of ${headDim * kvHeads}.`,
    );
  }
  return { tensor, heads, group: heads / kvHeads };
}
