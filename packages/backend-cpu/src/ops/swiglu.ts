import type { SwigluArgs } from "@infllm/tensor";
import { op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows } from "./checks.ts";
import { rowsPerTask } from "./op.ts";

/** out = gate · sigmoid(gate) · up */
export function swiglu(machine: Machine, { gateUp, out }: SwigluArgs): () => void {
  const to = f32Rows(machine, "swiglu: out", out);
  const { rows, columns } = to;
  const from = f32Rows(machine, "swiglu: gateUp", gateUp, { rows, columns: 2 * columns });
  const perTask = rowsPerTask(rows, columns);
  return () => {
    const words = Int32Array.of(from.address, from.rowStride, to.address, to.rowStride, rows, columns, perTask);
    machine.run(op.swiglu, words, Math.ceil(rows / perTask));
  };
}
