import { ShapeError, UnsupportedError } from "@infllm/tensor";
import type { RotateArgs } from "@infllm/tensor";
import { activationRows, f32Vector, i32Vector } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { headDims } from "../webgpu-cache.ts";
import { pieces } from "./rows.ts";

/** Rotary embedding in place, after an optional RMS norm of each head. */
export function rotate(machine: Machine, args: RotateArgs): void {
  const { heads, headDim, norm } = args;
  const x = activationRows(machine, "rotate: x", args.x, { columns: heads * headDim });
  const positions = i32Vector(machine, "rotate: positions", args.positions, x.rows);
  const half = args.frequencies.shape[0] ?? 0;
  if (2 * half > headDim) {
    throw new ShapeError(`rotate: ${half} frequencies turn ${2 * half} elements of a head, which has ${headDim}.`);
  }
  if (headDim > headDims.max) {
    throw new UnsupportedError(`rotate: headDim ${headDim} is not supported; the webgpu backend takes at most ${headDims.max}.`);
  }
  const frequencies = f32Vector(machine, "rotate: frequencies", args.frequencies, half).bound();
  const gains = norm && f32Vector(machine, "rotate: norm.weight", norm.weight, headDim).bound();
  if (half === 0 && gains === undefined) return;
  for (const [first, end] of pieces(machine, x.rows, 32 * x.columns)) {
    const rows = x.bound(first, end);
    const places = positions.bound(first, end);
    const scales = gains ?? machine.nothingRead;
    machine.launch({
      kernel: "rotate",
      bind: [rows, places, frequencies, scales],
      params: (p) =>
        p
          .u32(headDim, half, rows.start, x.rowStride, places.start, frequencies.start, scales.start, gains ? 1 : 0)
          .f32(norm?.epsilon ?? 0, args.amplitude)
          .u32(0),
      groups: [heads, end - first],
      cost: 32 * (end - first) * x.columns,
    });
  }
}
