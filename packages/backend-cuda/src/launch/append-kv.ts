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
  const inQ8 = dtype === "q8";
  const wide = headDim % 8 === 0 ? wideAccess(shape.columns, keys, values) : 0;
  // In q8 a warp takes a head.
  const warps = inQ8 ? kvHeads : Math.ceil(shape.columns / (wide === 1 ? 8 : 1) / 32);
  machine.launch(
    inQ8 ? `append_kv_${machine.activation}_q8` : "append_kv",
    { grid: [sequences.rows], block: [32 * Math.min(8, warps)], overlap: true },
    (args) => {
      args.pointer(keys.address).pointer(values.address).i64(keys.rowStride).i64(values.rowStride).pointer(toKeys).pointer(toValues);
      if (inQ8) args.pointer(scales);
      args.struct((batchArgs) => sequences.pack(batchArgs)).i32(kvHeads).i32(headDim).i32(blockSize);
      if (!inQ8) args.i32(wide);
    },
  );
}
