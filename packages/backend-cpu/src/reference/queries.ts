/** What the three ops that read queries have in common. */
import { ShapeError, checkPerHead } from "@infllm/tensor";
import type { DeviceTensor, ExpectedPerHead } from "@infllm/tensor";
import type { LayerCache, SequenceBatch } from "@infllm/block-selection";
import { f32Rows, ownTensor } from "./checks.ts";
import type { Rows } from "./checks.ts";
import type { Sequence } from "./sequences.ts";

export interface Queries extends Rows<Float32Array> {
  readonly heads: number;
}

/** `[rows, heads * headDim]`. @throws ShapeError when heads are not whole or KV heads do not divide them */
export function queriesOf(op: string, q: DeviceTensor, { shape }: LayerCache, batch: SequenceBatch): Queries {
  const rows = f32Rows(`${op}: q`, q, { rows: batch.rows });
  const heads = rows.columns / shape.headDim;
  if (!Number.isInteger(heads) || heads < 1 || heads % shape.kvHeads !== 0) {
    throw new ShapeError(
      `${op}: q has ${rows.columns} columns; with head_dim ${shape.headDim} and ${shape.kvHeads} KV heads it must be ` +
        `a multiple of ${shape.headDim * shape.kvHeads}.`,
    );
  }
  return { ...rows, heads };
}

/** f32 `[count, columns]`: a sequence's rows, without the gaps of a column view. */
export function rowsOf(matrix: Rows<Float32Array>, { start, count }: Sequence): Float32Array {
  const copy = new Float32Array(count * matrix.columns);
  for (let i = 0; i < count; i++) copy.set(matrix.row(start + i), i * matrix.columns);
  return copy;
}

/** An i32 or f32 tensor `[kvHeads, capacity ≥ rows, columns]`, addressed by KV head and query row. */
export function perHeadRows<A extends Int32Array | Float32Array>(
  what: string,
  tensor: DeviceTensor,
  expected: ExpectedPerHead,
): { readonly columns: number; row(kvHead: number, row: number): A } {
  const { tensor: own, columns } = checkPerHead(what, ownTensor(what, tensor), expected);
  return {
    columns,
    row: (kvHead, row) => own.row(kvHead).subarray(row * columns, (row + 1) * columns) as A,
  };
}
