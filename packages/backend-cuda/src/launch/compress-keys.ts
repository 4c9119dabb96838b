import { windowLevels } from "@infllm/block-selection";
import type { CompressKeysArgs } from "@infllm/block-selection";
import { ownCache } from "../checks.ts";
import { cacheVariant } from "../cuda-cache.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";

/** Writes the fine and coarse keys whose windows end within the batch's rows. */
export function compressKeys(machine: Machine, { cache, batch }: CompressKeysArgs): void {
  const layer = ownCache(machine, "compressKeys: cache", cache);
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const { sparse } = windowLevels("compressKeys", layer.shape);
  const sequences = new Sequences(machine, "compressKeys", batch, layer.shape);
  const at = layer.addresses;
  // Windows end at multiples of the stride: that many can end in a sequence's rows.
  const ends = Math.floor(sequences.maxQueryLength / sparse.kernelStride) + 1;
  machine.launch(
    `compress_keys_${cacheVariant(machine, dtype)}`,
    { grid: [ends, kvHeads, sequences.count], block: [headDim / 2], overlap: true },
    (args) =>
      args
        .pointer(at.keys)
        .pointer(at.scales)
        .pointer(at["fine-keys"])
        .pointer(at["coarse-keys"])
        .struct((batchArgs) => sequences.pack(batchArgs))
        .i32(blockSize)
        .i32(sparse.kernelStride)
        .i32(sparse.kernelSize / sparse.kernelStride),
  );
}
