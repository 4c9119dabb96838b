import { windowLevels } from "@infllm/block-selection";
import type { AppendKvArgs } from "@infllm/block-selection";
import { activationRows, ownCache } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";
import { appendKv } from "./append-kv.ts";
import { compressKeys } from "./compress-keys.ts";
import { wideAccess } from "./wide-access.ts";

/** Rows of a sequence up to which one block a KV head stores them all as fast as a block a row does. */
const FEW = 16;

/** Both ops in one launch where rows are few and 16 bytes at a time can be copied. */
export function appendAndCompress(machine: Machine, args: AppendKvArgs): void {
  const layer = ownCache(machine, "appendAndCompress: cache", args.cache);
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const { sparse } = windowLevels("appendAndCompress", layer.shape);
  const shape = { rows: args.batch.rows, columns: kvHeads * headDim };
  const keys = activationRows(machine, "appendAndCompress: k", args.k, shape);
  const values = activationRows(machine, "appendAndCompress: v", args.v, shape);
  const sequences = new Sequences(machine, "appendAndCompress", args.batch, layer.shape);
  const wide = headDim % 8 === 0 && wideAccess(shape.columns, keys, values) === 1;
  if (dtype === "q8" || !wide || sequences.maxQueryLength > FEW) {
    appendKv(machine, args);
    compressKeys(machine, args);
    return;
  }
  if (sequences.rows === 0) return;
  const at = layer.addresses;
  const threads = 32 * Math.ceil(Math.max(128, headDim / 2) / 32);
  machine.launch(`append_compress_${dtype}`, { grid: [kvHeads, sequences.count], block: [threads], overlap: true }, (pack) =>
    pack
      .pointer(keys.address)
      .pointer(values.address)
      .i64(keys.rowStride)
      .i64(values.rowStride)
      .pointer(at.keys)
      .pointer(at.values)
      .pointer(at["fine-keys"])
      .pointer(at["coarse-keys"])
      .struct((batch) => sequences.pack(batch))
      .i32(headDim)
      .i32(blockSize)
      .i32(sparse.kernelStride)
      .i32(sparse.kernelSize / sparse.kernelStride),
  );
}
