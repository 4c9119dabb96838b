import type { SampleArgs } from "@infllm/tensor";
import { rowsOf } from "../checks.ts";
import type { Machine } from "../machine.ts";

/** One token id a row; see `SampleArgs` for the rule. */
export function sample(machine: Machine, { logits, settings, out }: SampleArgs): void {
  const input = rowsOf(machine, "sample: logits", logits, ["f32"]);
  const options = rowsOf(machine, "sample: settings", settings, ["f32"], { rows: input.rows, columns: 4 });
  const to = rowsOf(machine, "sample: out", out, ["i32"], { rows: input.rows, columns: 1 });
  const [from, chosen, target] = [input.bound(), options.bound(), to.bound()];
  machine.launch({
    kernel: "sample",
    element: "f32",
    bind: [from, chosen, target],
    params: (p) => p.u32(input.columns, from.start, input.rowStride, chosen.start, options.rowStride, target.start, to.rowStride),
    groups: [input.rows],
    cost: 200 * input.rows * input.columns,
  });
  // The ids may be what a batch is made of.
  machine.changed();
}
