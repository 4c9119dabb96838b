import type { EmbedArgs } from "@infllm/tensor";
import { activationRows, i32Vector, ownWeight } from "../checks.ts";
import type { Machine } from "../machine.ts";

/** Elements that a thread of the kernel makes in one turn. */
const A_THREAD = 8;

/** out[r] = scale · table[ids[r]]; NaN where an id is outside the table, since ids are not seen by the host. */
export function embed(machine: Machine, { ids, table, scale, out }: EmbedArgs): void {
  const weight = ownWeight(machine, "embed: table", table);
  const to = activationRows(machine, "embed: out", out, { columns: weight.columns });
  const tokens = i32Vector(machine, "embed: ids", ids, to.rows);
  if (to.rows === 0) return;
  const threads = Math.min(256, 32 * Math.ceil(weight.columns / A_THREAD / 32));
  machine.launch(`embed_${weight.dtype}_${to.dtype}`, { grid: [to.rows], block: [threads], overlap: true }, (args) =>
    args
      .pointer(tokens.address)
      .pointer(weight.address)
      .pointer(to.address)
      .i64(to.rowStride)
      .i32(weight.rows)
      .i32(weight.columns)
      .f32(scale),
  );
}
