import type { RmsNormArgs } from "@infllm/tensor";
import { f32Word, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, f32Vector } from "./checks.ts";
import { rowsPerTask } from "./op.ts";

/** out = x / sqrt(mean(x²) + epsilon) · weight, after x += residual.scale · residual.delta */
export function rmsNorm(machine: Machine, { x, residual, weight, epsilon, out }: RmsNormArgs): () => void {
  const input = f32Rows(machine, "rmsNorm: x", x);
  const { rows, columns } = input;
  const delta = residual && f32Rows(machine, "rmsNorm: residual.delta", residual.delta, { rows, columns });
  const weights = f32Vector(machine, "rmsNorm: weight", weight, columns);
  const to = f32Rows(machine, "rmsNorm: out", out, { rows, columns });
  const perTask = rowsPerTask(rows, columns);
  return () => {
    const words = Int32Array.of(
      input.address, input.rowStride, delta?.address ?? 0, delta?.rowStride ?? 0, f32Word(residual?.scale ?? 0),
      weights.address, f32Word(epsilon), to.address, to.rowStride, rows, columns, perTask,
    );
    machine.run(op.rmsNorm, words, Math.ceil(rows / perTask));
  };
}
