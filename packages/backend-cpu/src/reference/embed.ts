import { UsageError } from "@infllm/tensor";
import type { EmbedArgs } from "@infllm/tensor";
import { f32Rows, i32Vector } from "./checks.ts";
import { ownWeight } from "./weight.ts";

/** out[r] = scale · table[ids[r]] */
export function embed({ ids, table, scale, out }: EmbedArgs): () => void {
  const weight = ownWeight("embed: table", table);
  const to = f32Rows("embed: out", out, { columns: weight.columns });
  const tokens = i32Vector("embed: ids", ids, to.rows);
  return () => {
    const list = tokens();
    for (let r = 0; r < to.rows; r++) {
      const id = list[r] as number;
      if (id < 0 || id >= weight.rows) {
        throw new UsageError(`embed: row ${r} has token id ${id}; the table allows 0 to ${weight.rows - 1}.`);
      }
      to.row(r).set(weight.row(id).map((value) => value * scale));
    }
  };
}
