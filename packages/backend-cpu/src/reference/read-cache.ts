import { ShapeError } from "@infllm/tensor";
import { windowCount } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import { ownCache, windowsOf } from "./layer-cache.ts";
import { sequencesOf } from "./sequences.ts";

/** f32 `[to − from, kvHeads, headDim]`: tokens or windows `[from, to)` of one sequence. */
export function readCache(
  cache: LayerCache,
  what: CacheRows,
  batch: SequenceBatch,
  sequence: number,
  from: number,
  to: number,
): Float32Array {
  const layer = ownCache("readCache: cache", cache);
  const found = sequencesOf("readCache", batch)()[sequence];
  if (found === undefined) {
    throw new ShapeError(`readCache: sequence ${sequence} is not in the batch, which has ${batch.sequences}.`);
  }
  const rows = storedRows(cache, what, found.length);
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to < from || to > rows) {
    throw new ShapeError(`readCache: rows [${from}, ${to}) are not among the ${rows} ${what} of a sequence of ${found.length} tokens.`);
  }
  return layer.load(what, found.pages, from, to);
}

function storedRows({ shape: { sparse } }: LayerCache, what: CacheRows, length: number): number {
  if (what === "keys" || what === "values") return length;
  if (sparse === undefined) return 0;
  const { size, stride } = windowsOf(what, sparse);
  return windowCount(length, size, stride);
}
