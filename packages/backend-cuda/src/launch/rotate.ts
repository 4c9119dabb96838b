import { ShapeError } from "@infllm/tensor";
import type { RotateArgs } from "@infllm/tensor";
import { activationRows, f32Vector, i32Vector } from "../checks.ts";
import type { Machine } from "../machine.ts";

const WARPS = 4;

/** Rotary embedding in place, after an optional RMS norm of each head. */
export function rotate(machine: Machine, args: RotateArgs): void {
  const { heads, headDim, norm } = args;
  const x = activationRows(machine, "rotate: x", args.x, { columns: heads * headDim });
  const positions = i32Vector(machine, "rotate: positions", args.positions, x.rows);
  const half = args.frequencies.shape[0] ?? 0;
  if (2 * half > headDim) {
    throw new ShapeError(`rotate: ${half} frequencies turn ${2 * half} elements of a head, which has ${headDim}.`);
  }
  const frequencies = f32Vector(machine, "rotate: frequencies", args.frequencies, half);
  const gains = norm && f32Vector(machine, "rotate: norm.weight", norm.weight, headDim);
  if (x.rows === 0 || (half === 0 && gains === undefined)) return;
  // Few rows are spread over the chip by heads; with many, a block keeps the row's sines for all heads.
  const headsPerBlock = x.rows >= 2 * machine.device.multiprocessors ? heads : WARPS;
  machine.launch(
    `rotate_${x.dtype}`,
    { grid: [x.rows, Math.ceil(heads / headsPerBlock)], block: [32 * WARPS], shared: 8 * half, overlap: true },
    (packed) =>
      packed
        .pointer(x.address)
        .i64(x.rowStride)
        .pointer(positions.address)
        .pointer(frequencies.address)
        .i32(half)
        .f32(args.amplitude)
        .pointer(gains?.address ?? 0)
        .f32(norm?.epsilon ?? 0)
        .i32(heads)
        .i32(headDim)
        .i32(headsPerBlock),
  );
}
