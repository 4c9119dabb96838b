/** Rows as kernels take them: four elements at a time, and as many as fit one launch. */
import { dtypeInfo } from "@infllm/tensor";
import { MOST_WORKGROUPS } from "../machine.ts";
import type { Bound, Machine } from "../machine.ts";
import type { WebGpuTensor } from "../webgpu-tensor.ts";

/** Rows that start at multiples of four elements. */
export interface FourRows {
  /** Rows `[from, to)`, and where the first begins, in fours. */
  bound(from: number, to: number): { readonly bound: Bound; readonly start4: number };
  readonly stride4: number;
}

/** Bytes of scratch that `asFours` needs: none for rows that lie right and in another buffer than `out`. */
export function copiedBytes(tensor: WebGpuTensor, out?: WebGpuTensor): number {
  const apart = out === undefined || out.allocation.id !== tensor.allocation.id;
  return tensor.inFours && apart ? 0 : tensor.rows * paddedColumns(tensor) * dtypeInfo(tensor.dtype).blockBytes;
}

/** The rows themselves, or a copy in `scratch` when `copiedBytes` asked for it. */
export function asFours(machine: Machine, tensor: WebGpuTensor, scratch: Bound | undefined): FourRows {
  if (scratch === undefined) return inPlace(tensor);
  const columns = paddedColumns(tensor);
  copyRows(machine, tensor, { columns: tensor.columns, padded: columns, from: tensor.bound(), stride: tensor.rowStride, to: scratch, toStride: columns });
  return copied(tensor, scratch);
}

/** Runs `write` with rows to write to: the tensor's own, or scratch that is copied into them afterwards. */
export function throughFours(machine: Machine, tensor: WebGpuTensor, scratch: Bound | undefined, write: (rows: FourRows) => void): void {
  if (scratch === undefined) {
    write(inPlace(tensor));
    return;
  }
  write(copied(tensor, scratch));
  const { columns } = tensor;
  copyRows(machine, tensor, {
    columns, padded: columns, from: scratch, stride: paddedColumns(tensor), to: tensor.bound(), toStride: tensor.rowStride,
  });
}

/** Parts of `rows` rows, `[from, to)`, that each cost about what fits a submit; at most as many as a launch has workgroups. */
export function pieces(machine: Machine, rows: number, costPerRow: number, most = MOST_WORKGROUPS): [from: number, to: number][] {
  const affordable = Math.floor(machine.budget.operations / Math.max(1, costPerRow));
  // A multiple of what a tile takes, so that cutting wastes nothing.
  const size = Math.max(1, Math.min(most, Math.max(64, Math.floor(affordable / 64) * 64)));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => [i * size, Math.min(rows, (i + 1) * size)]);
}

/** Workgroups for elementwise kernels, whose invocations go on where the grid ends. */
export function groupsFor(items: number, threads: number): number {
  return Math.max(1, Math.min(4096, Math.ceil(items / threads)));
}

function inPlace(tensor: WebGpuTensor): FourRows {
  return {
    bound(from, to) {
      const bound = tensor.bound(from, to);
      return { bound, start4: bound.start / 4 };
    },
    stride4: tensor.rowStride / 4,
  };
}

function copied(tensor: WebGpuTensor, scratch: Bound): FourRows {
  const stride4 = paddedColumns(tensor) / 4;
  return { bound: (from) => ({ bound: scratch, start4: from * stride4 }), stride4 };
}

function paddedColumns({ columns }: WebGpuTensor): number {
  return Math.ceil(columns / 4) * 4;
}

interface CopyJob {
  readonly columns: number;
  readonly padded: number;
  readonly from: Bound;
  readonly stride: number;
  readonly to: Bound;
  readonly toStride: number;
}

function copyRows(machine: Machine, { rows, dtype }: WebGpuTensor, { columns, padded, from, stride, to, toStride }: CopyJob): void {
  if (rows === 0) return;
  machine.launch({
    kernel: "copy-rows",
    element: dtype === "f16" ? "f16" : "f32",
    bind: [from, to],
    params: (p) => p.u32(rows, columns, padded, from.start, stride, to.start, toStride),
    groups: [groupsFor(rows * padded, 256)],
    cost: rows * padded,
  });
}
