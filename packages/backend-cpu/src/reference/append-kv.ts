import type { AppendKvArgs } from "@infllm/block-selection";
import { f32Rows } from "./checks.ts";
import { ownCache } from "./layer-cache.ts";
import { sequencesOf } from "./sequences.ts";

/** Stores row r of k and v at its position in its sequence's pages. */
export function appendKv({ k, v, cache, batch }: AppendKvArgs): () => void {
  const layer = ownCache("appendKv: cache", cache);
  const shape = { rows: batch.rows, columns: cache.shape.kvHeads * cache.shape.headDim };
  const keys = f32Rows("appendKv: k", k, shape);
  const values = f32Rows("appendKv: v", v, shape);
  const sequences = sequencesOf("appendKv", batch);
  return () => {
    for (const { start, count, position, pages } of sequences()) {
      for (let i = 0; i < count; i++) {
        layer.store("keys", pages, position + i, keys.row(start + i));
        layer.store("values", pages, position + i, values.row(start + i));
      }
    }
  };
}
