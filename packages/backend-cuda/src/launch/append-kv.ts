import type { AppendKvArgs } from "@infllm/block-selection";
import { activationRows, ownCache } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";
import { wideAccess } from "./wide-access.ts";

/** Stores the batch's keys and values in the pages of their sequences. */
export function appendKv(machine: Machine, { k, v, cache, batch }: AppendKvArgs): void {
  const layer = ownCache(machine, "appendKv: cache", cache);
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const shape = { rows: batch.rows, columns: kvHeads * headDim };
  const keys = activationRows(machine, "appendKv: k", k, shape);
  const values = activationRows(machine, "appendKv: v", v, shape);
  const sequences = new Sequences(machine, "appendKv", batch, layer.shape);
  if (sequences.rows === 0) return;
  const { keys: toKeys, values: toValues, scales } = layer.addresses;
  if (dtype === "q8") {
    const threads = 32 * Math.min(8, kvHeads);
    machine.launch(`append_kv_${machine.activation}_q8`, { grid: [sequences.rows], block: [threads], overlap: true }, (args) =>
      args
        .pointer(keys.address)
        .pointer(values.address)
        .i64(keys.rowStride)
        .i64(values.rowStride)
        .pointer(toKeys)
        .pointer(toValues)
        .pointer(scales)
        .struct((batchArgs) => sequences.pack(batchArgs))
        .i32(kvHeads)
        .i32(headDim)
        .i32(blockSize),
    );
    return;
  }
  const wide = headDim % 8 === 0 ? wideAccess(shape.columns, keys, values) : 0;
  const threads = Math.min(256, 32 * Math.ceil(shape.columns / (wide === 1 ? 8 : 1) / 32));
  machine.launch("append_kv", { grid: [sequences.rows], block: [threads], overlap: true }, (args) =>
    args
      .pointer(keys.address)
      .pointer(values.address)
      .i64(keys.rowStride)
      .i64(values.rowStride)
      .pointer(toKeys)
      .pointer(toValues)
      .struct((batchArgs) => sequences.pack(batchArgs))
      .i32(kvHeads)
      .i32(headDim)
      .i32(blockSize)
      .i32(wide),
  );
}
