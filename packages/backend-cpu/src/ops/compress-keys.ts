import { windowLevels } from "@infllm/block-selection";
import type { CompressKeysArgs } from "@infllm/block-selection";
import { cacheKind, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { ownCache } from "./checks.ts";
import { Sequences } from "./sequences.ts";

/** Tokens of one task. */
const ROWS = 64;
const scratchBytes = 64;

/** Writes the fine and coarse keys of the windows that end within the batch's rows. */
export function compressKeys(machine: Machine, { cache, batch }: CompressKeysArgs): () => void {
  const layer = ownCache(machine, "compressKeys: cache", cache);
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const { fine, coarse } = windowLevels("compressKeys", layer.shape);
  const sequences = new Sequences(machine, "compressKeys", batch, layer.shape);
  return () => {
    const tiles = sequences.tiles(ROWS);
    const at = layer.addresses;
    for (const [level, to] of [[fine, at.fine], [coarse, at.coarse]] as const) {
      const words = Int32Array.of(
        at.keys, cacheKind[dtype], kvHeads, headDim, blockSize, sequences.pageTable.address, sequences.pageTable.rowStride,
        tiles.at, to, level.slots, level.size, level.stride, at.scales,
      );
      machine.run(op.compressKeys, words, tiles.count * kvHeads, scratchBytes);
    }
  };
}
