import type { EmbedArgs } from "@infllm/tensor";
import { activationRows, i32Vector, ownWeight } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { groupsFor, pieces } from "./rows.ts";

/** out[r] = table[ids[r]] · scale */
export function embed(machine: Machine, { ids, table, scale, out }: EmbedArgs): void {
  const matrix = ownWeight(machine, "embed: table", table);
  const to = activationRows(machine, "embed: out", out, { columns: matrix.columns });
  const numbers = i32Vector(machine, "embed: ids", ids, to.rows);
  const fours = Math.ceil(matrix.columns / 4);
  for (const [first, end] of pieces(machine, to.rows, 4 * matrix.columns)) {
    const list = numbers.bound(first, end);
    const target = to.bound(first, end);
    for (const part of matrix.parts) {
      machine.launch({
        kernel: "embed",
        weight: matrix.dtype,
        bind: [list, part.bound, target],
        params: (p) =>
          p
            .u32(end - first, matrix.columns, matrix.layout.pitch, part.from, part.to, list.start, target.start, to.rowStride)
            .f32(scale),
        groups: [groupsFor((end - first) * fours, 64)],
        cost: 8 * (end - first) * fours,
      });
    }
  }
}
