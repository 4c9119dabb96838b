import type { SwigluArgs } from "@infllm/tensor";
import { f32Rows } from "./checks.ts";

/** out = gate · sigmoid(gate) · up, gate being the first half of each row and up the second */
export function swiglu({ gateUp, out }: SwigluArgs): () => void {
  const to = f32Rows("swiglu: out", out);
  const width = to.columns;
  const input = f32Rows("swiglu: gateUp", gateUp, { rows: to.rows, columns: 2 * width });
  return () => {
    for (let r = 0; r < to.rows; r++) {
      const row = input.row(r);
      const result = to.row(r);
      for (let i = 0; i < width; i++) {
        const gate = row[i] as number;
        result[i] = (gate / (1 + Math.exp(-gate))) * (row[width + i] as number);
      }
    }
  };
}
