import type { RmsNormArgs } from "@infllm/tensor";
import { activationRows, f32Vector } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { wideAccess } from "./wide-access.ts";

/** x += scale · delta (when asked), then out = x / √(mean(x²) + ε) · weight */
export function rmsNorm(machine: Machine, { x, residual, weight, epsilon, out }: RmsNormArgs): void {
  const own = activationRows(machine, "rmsNorm: x", x);
  const shape = { rows: own.rows, columns: own.columns };
  const delta = residual && activationRows(machine, "rmsNorm: residual.delta", residual.delta, shape);
  const gains = f32Vector(machine, "rmsNorm: weight", weight, own.columns);
  const to = activationRows(machine, "rmsNorm: out", out, shape);
  if (own.rows === 0) return;
  const wide = gains.address % 16 === 0 ? wideAccess(own.columns, own, to, ...(delta ? [delta] : [])) : 0;
  const threads = Math.min(512, 32 * Math.ceil(own.columns / 8 / 32));
  machine.launch(`rms_norm_${own.dtype}`, { grid: [own.rows], block: [threads], overlap: true }, (args) =>
    args
      .pointer(own.address)
      .i64(own.rowStride)
      .pointer(delta?.address ?? 0)
      .i64(delta?.rowStride ?? 0)
      .f32(residual?.scale ?? 0)
      .pointer(gains.address)
      .f32(epsilon)
      .pointer(to.address)
      .i64(to.rowStride)
      .i32(own.columns)
      .i32(wide),
  );
}
