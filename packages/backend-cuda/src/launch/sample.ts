import type { SampleArgs } from "@infllm/tensor";
import { rowsOf } from "../checks.ts";
import type { Machine } from "../machine.ts";

/** Fixed in the kernel. */
const THREADS = 1024;

/** One token id a row; see `SampleArgs` for the rule. */
export function sample(machine: Machine, { logits, settings, out }: SampleArgs): void {
  const input = rowsOf(machine, "sample: logits", logits, ["f32"]);
  const options = rowsOf(machine, "sample: settings", settings, ["f32"], { rows: input.rows, columns: 4 });
  const to = rowsOf(machine, "sample: out", out, ["i32"], { rows: input.rows, columns: 1 });
  if (input.rows === 0) return;
  machine.launch("sample", { grid: [input.rows], block: [THREADS], overlap: true }, (args) =>
    args
      .pointer(input.address)
      .i64(input.rowStride)
      .pointer(options.address)
      .i64(options.rowStride)
      .pointer(to.address)
      .i64(to.rowStride)
      .i32(input.columns),
  );
}
