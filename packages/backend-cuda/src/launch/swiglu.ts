import type { SwigluArgs } from "@infllm/tensor";
import { activationRows } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { wideAccess } from "./wide-access.ts";

const THREADS = 256;

/** out = gate · sigmoid(gate) · up, gate being the first half of each row and up the second */
export function swiglu(machine: Machine, { gateUp, out }: SwigluArgs): void {
  const to = activationRows(machine, "swiglu: out", out);
  const from = activationRows(machine, "swiglu: gateUp", gateUp, { rows: to.rows, columns: 2 * to.columns });
  if (to.rows === 0) return;
  const wide = wideAccess(to.columns, from, to);
  const parts = Math.ceil(to.columns / (wide === 1 ? 8 : 1) / THREADS);
  machine.launch(`swiglu_${to.dtype}`, { grid: [to.rows, parts], block: [THREADS], overlap: true }, (args) =>
    args.pointer(from.address).i64(from.rowStride).pointer(to.address).i64(to.rowStride).i32(to.columns).i32(wide),
  );
}
