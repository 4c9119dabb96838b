import type { LinearArgs } from "@infllm/tensor";
import { K_SLAB, SLAB_GROUP, kind, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, f32Vector, ownWeight } from "./checks.ts";

/** Rows of x that share a widened slab: at 128 widening costs a few percent, and 512 columns of x still fit L2. */
const ROWS = 128;
/** Panels of a task are chosen so that it has at least this many multiplications: some 5 to 10 µs of one thread. */
const WORK = 2 ** 17;

/** Scratch: see `kernels/linear.ts`. */
const scratchBytes = K_SLAB * 32 * (SLAB_GROUP + 1) + ROWS * 32;

/** out = x · weightᵀ + bias */
export function linear(machine: Machine, { x, weight, bias, out }: LinearArgs): () => void {
  const matrix = ownWeight(machine, "linear: weight", weight);
  const input = f32Rows(machine, "linear: x", x, { columns: matrix.columns });
  const to = f32Rows(machine, "linear: out", out, { rows: input.rows, columns: matrix.rows });
  const biases = bias && f32Vector(machine, "linear: bias", bias, matrix.rows);
  const { rows } = input;
  const panels = Math.ceil(matrix.rows / 8);
  const rowsPerTask = Math.max(1, Math.min(ROWS, rows));
  const panelsPerTask = panelsOfTask(panels, matrix.columns * 8 * rowsPerTask, machine.threadCount);
  const panelBlocks = Math.ceil(panels / panelsPerTask);
  const tasks = Math.ceil(rows / rowsPerTask) * panelBlocks;
  return () => {
    const words = Int32Array.of(
      input.address, input.rowStride, rows, matrix.address, kind[matrix.dtype], matrix.rows, matrix.columns,
      biases?.address ?? 0, to.address, to.rowStride, rowsPerTask, panelsPerTask, panelBlocks,
    );
    machine.run(op.linear, words, tasks, scratchBytes);
  };
}

/** A multiple of SLAB_GROUP: large enough to be worth a task, small enough to share among the threads. */
function panelsOfTask(panels: number, workPerPanel: number, threads: number): number {
  const worthIt = Math.ceil(WORK / workPerPanel);
  const fair = Math.ceil(panels / (threads * 2));
  const groups = Math.ceil(Math.max(worthIt, Math.min(fair, 64)) / SLAB_GROUP);
  return Math.min(groups * SLAB_GROUP, Math.max(panels, 1));
}
