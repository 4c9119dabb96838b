import { isQuantized } from "@infllm/tensor";
import type { LinearArgs } from "@infllm/tensor";
import { K_SLAB, SLAB_GROUP, kind, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, f32Vector, ownWeight } from "./checks.ts";

/** Rows of x that share a widened slab: at 128 widening costs a few percent, and 512 columns of x still fit L2. */
const ROWS = 128;
/** Multiplications that are worth a task: 2 to 3 µs of one thread; to share a task costs a tenth of that. */
const WORK = 2 ** 15;
/** Tasks a thread, when there is enough to do: enough to even out threads that others disturb. */
const TASKS = 8;
/** Most panels of a task: with 512 columns, 1 MiB of f32. */
const PANELS = 64;

/** Scratch for slabs and an edge tile, see `kernels/linear.ts`; a prepared row of x takes 4.5 bytes a number. */
const slabBytes = K_SLAB * 32 * (SLAB_GROUP + 1) + ROWS * 32;

/** out = x · weightᵀ + bias */
export function linear(machine: Machine, { x, weight, bias, out }: LinearArgs): () => void {
  const matrix = ownWeight(machine, "linear: weight", weight);
  const input = f32Rows(machine, "linear: x", x, { columns: matrix.columns });
  const to = f32Rows(machine, "linear: out", out, { rows: input.rows, columns: matrix.rows });
  const biases = bias && f32Vector(machine, "linear: bias", bias, matrix.rows);
  const { rows } = input;
  const panels = Math.ceil(matrix.rows / 8);
  const rowsPerTask = Math.max(1, Math.min(ROWS, rows));
  const rowBlocks = Math.ceil(rows / rowsPerTask);
  // Every task of one row of x and quantised weights prepares the row anew: four times the work makes that cheap.
  const worth = isQuantized(matrix.dtype) && rows === 1 ? 4 * WORK : WORK;
  const wanted = Math.min(Math.floor((rows * matrix.rows * matrix.columns) / worth), machine.threadCount * TASKS);
  const scratchBytes = Math.max(slabBytes, matrix.columns * 4.5);
  const panelsPerTask = panelsOfTask(panels, Math.ceil(wanted / rowBlocks));
  const panelBlocks = Math.ceil(panels / panelsPerTask);
  const tasks = rowBlocks * panelBlocks;
  return () => {
    const words = Int32Array.of(
      input.address, input.rowStride, rows, matrix.address, kind[matrix.dtype], matrix.rows, matrix.columns,
      biases?.address ?? 0, to.address, to.rowStride, rowsPerTask, panelsPerTask, panelBlocks,
    );
    machine.run(op.linear, words, tasks, scratchBytes);
  };
}

/** Panels cut into `parts` as evenly as multiples of SLAB_GROUP allow. */
function panelsOfTask(panels: number, parts: number): number {
  const even = Math.ceil(panels / Math.max(parts, 1) / SLAB_GROUP) * SLAB_GROUP;
  return Math.min(even, PANELS);
}
