import type { AppendKvArgs } from "@infllm/block-selection";
import { activationRows, ownCache } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";
import { groupsFor, pieces } from "./rows.ts";

/** Stores the rows' keys and values in the pages of their sequences. */
export function appendKv(machine: Machine, { k, v, cache, batch }: AppendKvArgs): void {
  const layer = ownCache(machine, "appendKv: cache", cache);
  const { kvHeads, headDim, blockSize } = layer.shape;
  const expected = { rows: batch.rows, columns: kvHeads * headDim };
  const keys = activationRows(machine, "appendKv: k", k, expected);
  const values = activationRows(machine, "appendKv: v", v, expected);
  const sequences = new Sequences(machine, "appendKv", batch, layer.shape);
  const table = sequences.table();
  const pages = sequences.pageTable.bound();
  for (const [first, end] of pieces(machine, batch.rows, 8 * keys.columns)) {
    const fromK = keys.bound(first, end);
    const fromV = values.bound(first, end);
    machine.launch({
      kernel: "append-kv",
      cache: layer.dtype,
      bind: [fromK, fromV, table, pages, layer.part("keys"), layer.part("values")],
      params: (p) =>
        p
          .u32(end - first, first, kvHeads, headDim, blockSize, fromK.start, keys.rowStride, fromV.start, values.rowStride)
          .u32(pages.start, sequences.pageTable.rowStride),
      groups: [groupsFor(((end - first) * keys.columns) / 4, 64)],
      cost: 8 * (end - first) * keys.columns,
    });
  }
}
