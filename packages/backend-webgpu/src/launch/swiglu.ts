import type { SwigluArgs } from "@infllm/tensor";
import { activationRows } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { groupsFor, pieces } from "./rows.ts";

/** out = gate · sigmoid(gate) · up */
export function swiglu(machine: Machine, { gateUp, out }: SwigluArgs): void {
  const to = activationRows(machine, "swiglu: out", out);
  const from = activationRows(machine, "swiglu: gateUp", gateUp, { rows: to.rows, columns: 2 * to.columns });
  for (const [first, end] of pieces(machine, to.rows, 16 * to.columns)) {
    const source = from.bound(first, end);
    const target = to.bound(first, end);
    machine.launch({
      kernel: "swiglu",
      bind: [source, target],
      params: (p) => p.u32(end - first, to.columns, source.start, from.rowStride, target.start, to.rowStride),
      groups: [groupsFor((end - first) * to.columns, 256)],
      cost: 16 * (end - first) * to.columns,
    });
  }
}
