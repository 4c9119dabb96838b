import { UsageError } from "@infllm/tensor";
import type { EmbedArgs } from "@infllm/tensor";
import { f32Word, kind, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, i32Vector, ownWeight } from "./checks.ts";

/** out[r] = scale · table[ids[r]] */
export function embed(machine: Machine, { ids, table, scale, out }: EmbedArgs): () => void {
  const weight = ownWeight(machine, "embed: table", table);
  const to = f32Rows(machine, "embed: out", out, { columns: weight.columns });
  const tokens = i32Vector(machine, "embed: ids", ids, to.rows);
  return () => {
    const { i32 } = machine.memory;
    const first = tokens.address >>> 2;
    for (let r = 0; r < to.rows; r++) {
      const id = i32[first + r] as number;
      if (id < 0 || id >= weight.rows) {
        throw new UsageError(`embed: row ${r} has token id ${id}; the table allows 0 to ${weight.rows - 1}.`);
      }
    }
    const words = Int32Array.of(
      tokens.address, weight.address, kind[weight.dtype], weight.columns, f32Word(scale), to.address, to.rowStride, to.rows,
    );
    machine.run(op.embed, words, 1);
  };
}
