import { dot } from "@infllm/block-selection";
import type { LinearArgs } from "@infllm/tensor";
import { f32Rows, f32Vector } from "./checks.ts";
import { ownWeight } from "./weight.ts";

/** out = x · weightᵀ + bias */
export function linear({ x, weight, bias, out }: LinearArgs): () => void {
  const matrix = ownWeight("linear: weight", weight);
  const input = f32Rows("linear: x", x, { columns: matrix.columns });
  const to = f32Rows("linear: out", out, { rows: input.rows, columns: matrix.rows });
  const biases = bias && f32Vector("linear: bias", bias, matrix.rows);
  return () => {
    const added = biases?.() ?? new Float32Array(matrix.rows);
    for (let r = 0; r < input.rows; r++) {
      const row = input.row(r);
      const result = to.row(r);
      for (let o = 0; o < matrix.rows; o++) {
        result[o] = dot(row, 0, matrix.row(o), 0, matrix.columns) + (added[o] as number);
      }
    }
  };
}
