import { UsageError } from "@infllm/tensor";
import { blockBudget, blockCount, selectForRow, windowCount } from "@infllm/block-selection";
import type { CompressedKeys, SelectBlocksArgs, SparseConfig } from "@infllm/block-selection";
import { ownCache, windowsOf } from "./layer-cache.ts";
import type { ReferenceCache } from "./layer-cache.ts";
import { perHeadRows, queriesOf } from "./queries.ts";
import { sequencesOf } from "./sequences.ts";
import type { Sequence } from "./sequences.ts";

/** Scores, pools, forces and selects, one query row and one KV head at a time. */
export function selectBlocks({ q, cache, batch, scale, blockIndices, blockScores }: SelectBlocksArgs): () => void {
  const layer = ownCache("selectBlocks: cache", cache);
  const { kvHeads, headDim, blockSize, sparse } = cache.shape;
  if (sparse === undefined) {
    throw new UsageError("selectBlocks: the cache has no sparse config; allocate it with one to select blocks.");
  }
  const queries = queriesOf("selectBlocks", q, cache, batch);
  const { rows } = batch;
  const indices = perHeadRows<Int32Array>("selectBlocks: blockIndices", blockIndices, {
    dtype: "i32", kvHeads, rows, columns: blockBudget(sparse),
  });
  const scores = blockScores && perHeadRows<Float32Array>("selectBlocks: blockScores", blockScores, { dtype: "f32", kvHeads, rows });
  const sequences = sequencesOf("selectBlocks", batch);
  return () => {
    for (const sequence of sequences()) {
      const { start, count, position, length } = sequence;
      if (scores && blockCount(length, blockSize) > scores.columns) {
        throw new UsageError(`selectBlocks: blockScores has room for ${scores.columns} blocks; a sequence has ${length} tokens.`);
      }
      const keys = compressedKeys(layer, sequence, sparse);
      for (let i = 0; i < count; i++) {
        const row = { q: queries.row(start + i), heads: queries.heads, kvHeads, headDim, position: position + i, scale };
        for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
          const chosen = selectForRow({ ...row, kvHead }, keys, length, sparse);
          indices.row(kvHead, start + i).set(chosen.indices);
          scores?.row(kvHead, start + i).fill(-Infinity).set(chosen.scores);
        }
      }
    }
  };
}

function compressedKeys(layer: ReferenceCache, { pages, length }: Sequence, config: SparseConfig): CompressedKeys {
  const load = (level: "fine-keys" | "coarse-keys"): Float32Array => {
    const { size, stride } = windowsOf(level, config);
    return layer.load(level, pages, 0, windowCount(length, size, stride));
  };
  return { fine: load("fine-keys"), coarse: load("coarse-keys") };
}
