import { ShapeError } from "@infllm/tensor";
import type { RotateArgs } from "@infllm/tensor";
import { f32Word, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, f32Vector, i32Vector } from "./checks.ts";
import { rowsPerTask } from "./op.ts";
import { rotationTable } from "./rotation-table.ts";

/** Rotary positions in place, after an optional norm of each head. */
export function rotate(machine: Machine, { x, heads, headDim, positions, frequencies, amplitude, norm }: RotateArgs): () => void {
  const to = f32Rows(machine, "rotate: x", x, { columns: heads * headDim });
  const at = i32Vector(machine, "rotate: positions", positions, to.rows);
  const half = frequencies.shape[0] ?? 0;
  if (2 * half > headDim) {
    throw new ShapeError(`rotate: ${half} frequencies rotate ${2 * half} elements of a head; it has ${headDim}.`);
  }
  const speeds = f32Vector(machine, "rotate: frequencies", frequencies, half);
  const weight = norm && f32Vector(machine, "rotate: norm.weight", norm.weight, headDim);
  const perTask = rowsPerTask(to.rows, to.columns);
  return () => {
    const { i32, f32 } = machine.memory;
    const rowPositions = i32.subarray(at.address >>> 2, (at.address >>> 2) + to.rows);
    const rowSpeeds = f32.subarray(speeds.address >>> 2, (speeds.address >>> 2) + half);
    const table = rotationTable(machine, rowPositions, rowSpeeds, amplitude);
    const words = Int32Array.of(
      to.address, to.rowStride, to.rows, heads, headDim, half, table, weight?.address ?? 0, f32Word(norm?.epsilon ?? 0), perTask,
    );
    machine.run(op.rotate, words, Math.ceil(to.rows / perTask));
  };
}
