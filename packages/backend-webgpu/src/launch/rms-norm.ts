import type { RmsNormArgs } from "@infllm/tensor";
import { activationRows, f32Vector } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { pieces } from "./rows.ts";

const MOST_THREADS = 256;
const LEAST_THREADS = 32;

/** x += scale · delta, then out = x / sqrt(mean(x²) + epsilon) · weight */
export function rmsNorm(machine: Machine, { x, residual, weight, epsilon, out }: RmsNormArgs): void {
  const stream = activationRows(machine, "rmsNorm: x", x);
  const shape = { rows: stream.rows, columns: stream.columns };
  const to = activationRows(machine, "rmsNorm: out", out, shape);
  const delta = residual && activationRows(machine, "rmsNorm: residual.delta", residual.delta, shape);
  const gains = f32Vector(machine, "rmsNorm: weight", weight, stream.columns);
  for (const [first, end] of pieces(machine, stream.rows, 8 * stream.columns)) {
    const rows = stream.bound(first, end);
    const added = delta?.bound(first, end) ?? machine.nothingRead;
    const target = to.bound(first, end);
    const scales = gains.bound();
    machine.launch({
      kernel: "rms-norm",
      constants: { THREADS: threadsFor(stream.columns) },
      bind: [rows, added, scales, target],
      params: (p) =>
        p
          .u32(end - first, stream.columns, rows.start, stream.rowStride, added.start, delta?.rowStride ?? 0)
          .u32(scales.start, target.start, to.rowStride, delta ? 1 : 0)
          .f32(residual?.scale ?? 0, epsilon),
      groups: [end - first],
      cost: 8 * (end - first) * stream.columns,
    });
  }
}

/** A power of two: about four elements an invocation. */
function threadsFor(columns: number): number {
  let threads = LEAST_THREADS;
  while (threads < MOST_THREADS && threads * 4 < columns) threads *= 2;
  return threads;
}
