import { ShapeError } from "@infllm/tensor";
import type { RotateArgs } from "@infllm/tensor";
import { f32Rows, f32Vector, i32Vector } from "./checks.ts";
import { normalized } from "./rms-norm.ts";

/**
 * Rotary embedding in place, rotate-half: (a, b) = (x[i], x[i + half]) becomes (a cos − b sin, b cos + a sin).
 * The angle is the f32 product of position and frequency, as the models were trained with: at position 16,384 it is
 * up to 5e-4 rad away from the exact product.
 */
export function rotate({ x, heads, headDim, positions, frequencies, amplitude, norm }: RotateArgs): () => void {
  const rows = f32Rows("rotate: x", x, { columns: heads * headDim });
  const where = i32Vector("rotate: positions", positions, rows.rows);
  const half = frequencies.shape[0] ?? 0;
  if (2 * half > headDim) {
    throw new ShapeError(`rotate: ${half} frequencies turn ${2 * half} elements of a head, which has ${headDim}.`);
  }
  const perPosition = f32Vector("rotate: frequencies", frequencies, half);
  const gains = norm && f32Vector("rotate: norm.weight", norm.weight, headDim);
  return () => {
    const [position, frequency] = [where(), perPosition()];
    for (let r = 0; r < rows.rows; r++) {
      const angles = frequency.map((f) => f * (position[r] as number));
      const row = rows.row(r);
      for (let h = 0; h < heads; h++) {
        const head = row.subarray(h * headDim, (h + 1) * headDim);
        const values = norm && gains ? normalized(head, gains(), norm.epsilon) : Float64Array.from(head);
        head.set(rotated(values, angles, amplitude));
      }
    }
  };
}

function rotated(head: Float64Array, angles: Float32Array, amplitude: number): Float64Array {
  const half = angles.length;
  const out = head.slice();
  for (let i = 0; i < half; i++) {
    const cos = amplitude * Math.cos(angles[i] as number);
    const sin = amplitude * Math.sin(angles[i] as number);
    const [a, b] = [head[i] as number, head[i + half] as number];
    out[i] = a * cos - b * sin;
    out[i + half] = b * cos + a * sin;
  }
  return out;
}
