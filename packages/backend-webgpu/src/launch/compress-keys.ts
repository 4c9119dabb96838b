import { windowLevels } from "@infllm/block-selection";
import type { CompressKeysArgs } from "@infllm/block-selection";
import { ownCache } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";
import { pieces } from "./rows.ts";

/** Writes the fine and coarse keys of windows that end within the rows. */
export function compressKeys(machine: Machine, { cache, batch }: CompressKeysArgs): void {
  const layer = ownCache(machine, "compressKeys: cache", cache);
  const { fine, coarse, sparse } = windowLevels("compressKeys", layer.shape);
  const { kvHeads, headDim, blockSize } = layer.shape;
  const sequences = new Sequences(machine, "compressKeys", batch, layer.shape);
  const table = sequences.table();
  const pages = sequences.pageTable.bound();
  const perRow = 8 * kvHeads * headDim * (sparse.kernelSize / sparse.kernelStride);
  for (const [first, end] of pieces(machine, batch.rows, perRow)) {
    machine.launch({
      kernel: "compress-keys",
      cache: layer.dtype,
      bind: [table, pages, layer.part("keys"), layer.part("fine-keys"), layer.part("coarse-keys")],
      params: (p) =>
        p
          .u32(first, kvHeads, headDim, blockSize, sparse.kernelSize, sparse.kernelStride, fine.slots, coarse.slots)
          .u32(pages.start, sequences.pageTable.rowStride),
      groups: [end - first, kvHeads, 2],
      cost: perRow * (end - first),
    });
  }
}
