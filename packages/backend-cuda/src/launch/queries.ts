/** The query rows of an op, and what they mean for the cache's heads. */
import { ShapeError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import type { LayerCacheShape, SequenceBatch } from "@infllm/block-selection";
import { activationRows } from "../checks.ts";
import type { CudaTensor } from "../cuda-tensor.ts";
import type { Machine } from "../machine.ts";

/** Scores are taken in base 2. */
export const LOG2E = Math.LOG2E;

const ELEMENT_BYTES = 2;

export interface Queries {
  readonly tensor: CudaTensor;
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

/** Bytes of scratch that `gathered` or `scattered` needs; 0 where the rows lie together already. */
export function packedBytes(tensor: CudaTensor): number {
  return tensor.contiguous ? 0 : tensor.rows * tensor.columns * ELEMENT_BYTES;
}

/** Address of the rows without gaps: a copy in `scratch` of a column view, which most kernels do not take. */
export function gathered(machine: Machine, tensor: CudaTensor, scratch: number): number {
  if (tensor.contiguous) return tensor.address;
  const width = tensor.columns * ELEMENT_BYTES;
  machine.stream.copyRows({ address: scratch, pitch: width }, { address: tensor.address, pitch: tensor.rowStride * ELEMENT_BYTES }, width, tensor.rows);
  machine.interrupted();
  return scratch;
}

/** Runs `write` with the address of rows without gaps, and copies them into a column view afterwards. */
export function scattered(machine: Machine, tensor: CudaTensor, scratch: number, write: (address: number) => void): void {
  if (tensor.contiguous) return write(tensor.address);
  write(scratch);
  const width = tensor.columns * ELEMENT_BYTES;
  machine.stream.copyRows({ address: tensor.address, pitch: tensor.rowStride * ELEMENT_BYTES }, { address: scratch, pitch: width }, width, tensor.rows);
  machine.interrupted();
}

/** Kernels that wait for what wrote the queries before they let the next one start. */
const AFTER_QUERIES = ["compress_keys", "append_compress", "decode_score"] as const;

/** May a kernel read queries before it waits for the launch before? */
export function queriesAreOld(machine: Machine): boolean {
  return AFTER_QUERIES.some((name) => machine.lastKernel.startsWith(name));
}
