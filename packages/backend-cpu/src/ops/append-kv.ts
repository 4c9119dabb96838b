import type { AppendKvArgs } from "@infllm/block-selection";
import { cacheKind, op } from "../abi.ts";
import type { Machine } from "../wasm/machine.ts";
import { f32Rows, ownCache } from "./checks.ts";
import { Sequences } from "./sequences.ts";

/** Tokens of one task. */
const ROWS = 64;

/** Stores row r of k and v at its position in its sequence's pages. */
export function appendKv(machine: Machine, { k, v, cache, batch }: AppendKvArgs): () => void {
  const layer = ownCache(machine, "appendKv: cache", cache);
  const { kvHeads, headDim, blockSize, dtype } = layer.shape;
  const shape = { rows: batch.rows, columns: kvHeads * headDim };
  const keys = f32Rows(machine, "appendKv: k", k, shape);
  const values = f32Rows(machine, "appendKv: v", v, shape);
  const sequences = new Sequences(machine, "appendKv", batch, layer.shape);
  return () => {
    const tiles = sequences.tiles(ROWS);
    const to = layer.addresses;
    const words = Int32Array.of(
      keys.address, keys.rowStride, values.address, values.rowStride, to.keys, to.values, cacheKind[dtype], kvHeads, headDim,
      blockSize, sequences.pageTable.address, sequences.pageTable.rowStride, tiles.at, to.scales,
    );
    machine.run(op.appendKv, words, tiles.count);
  };
}
