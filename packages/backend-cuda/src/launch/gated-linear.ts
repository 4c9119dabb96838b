import type { GatedLinearArgs } from "@infllm/tensor";
import { activationRows, ownWeight } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { launchLinear } from "./launch-linear.ts";
import { linear } from "./linear.ts";
import { streamingKernel } from "./linear-stream.ts";
import { launchWhole, wholeKernel } from "./linear-whole.ts";
import { swiglu } from "./swiglu.ts";

/** out = swiglu(x · weightᵀ); of few rows in one launch, else in two through `gateUp`. */
export function gatedLinear(machine: Machine, { x, weight, gateUp, out }: GatedLinearArgs): void {
  const matrix = ownWeight(machine, "gatedLinear: weight", weight);
  const input = activationRows(machine, "gatedLinear: x", x, { columns: matrix.columns });
  const to = activationRows(machine, "gatedLinear: out", out, { rows: input.rows, columns: matrix.rows / 2 });
  const operands = { x: input, weight: matrix, bias: undefined, out: to };
  const whole = input.rows === 0 ? undefined : wholeKernel(machine, "gated_whole", input.rows, matrix);
  if (whole !== undefined) {
    launchWhole(machine, whole, operands);
    return;
  }
  const kernel = input.rows === 0 ? undefined : streamingKernel(machine, "linear_gated", input, matrix);
  if (kernel !== undefined) {
    launchLinear(machine, kernel, operands);
    return;
  }
  linear(machine, { x, weight, out: gateUp });
  swiglu(machine, { gateUp, out });
}
