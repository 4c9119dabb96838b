import type { RmsNormArgs } from "@infllm/tensor";
import { f32Rows, f32Vector } from "./checks.ts";

/** x += scale · delta (when asked), then out = x / √(mean(x²) + ε) · weight */
export function rmsNorm({ x, residual, weight, epsilon, out }: RmsNormArgs): () => void {
  const input = f32Rows("rmsNorm: x", x);
  const shape = { rows: input.rows, columns: input.columns };
  const delta = residual && f32Rows("rmsNorm: residual.delta", residual.delta, shape);
  const gains = f32Vector("rmsNorm: weight", weight, input.columns);
  const to = f32Rows("rmsNorm: out", out, shape);
  return () => {
    for (let r = 0; r < input.rows; r++) {
      const row = input.row(r);
      if (residual && delta) addScaled(row, delta.row(r), residual.scale);
      to.row(r).set(normalized(row, gains(), epsilon));
    }
  };
}

function addScaled(row: Float32Array, delta: Float32Array, scale: number): void {
  for (let i = 0; i < row.length; i++) row[i] = (row[i] as number) + scale * (delta[i] as number);
}

/** f64 `[width]`: row / √(mean(row²) + ε) · gains */
export function normalized(row: Float32Array, gains: Float32Array, epsilon: number): Float64Array {
  let squares = 0;
  for (const value of row) squares += value * value;
  const inverse = 1 / Math.sqrt(squares / row.length + epsilon);
  return Float64Array.from(row, (value, i) => value * inverse * (gains[i] as number));
}
