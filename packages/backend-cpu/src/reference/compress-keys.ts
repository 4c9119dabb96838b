import { UsageError } from "@infllm/tensor";
import { compressKeys as compressHostKeys, windowCount } from "@infllm/block-selection";
import type { CompressKeysArgs } from "@infllm/block-selection";
import { ownCache, windowsOf } from "./layer-cache.ts";
import type { ReferenceCache } from "./layer-cache.ts";
import { sequencesOf } from "./sequences.ts";
import type { Sequence } from "./sequences.ts";

/** Writes the fine and coarse keys of the windows that end within the batch's query rows. */
export function compressKeys({ cache, batch }: CompressKeysArgs): () => void {
  const layer = ownCache("compressKeys: cache", cache);
  if (cache.shape.sparse === undefined) {
    throw new UsageError("compressKeys: the cache has no sparse config, so it keeps no compressed keys.");
  }
  const sequences = sequencesOf("compressKeys", batch);
  return () => {
    for (const sequence of sequences()) {
      compressLevel(layer, "fine-keys", sequence);
      compressLevel(layer, "coarse-keys", sequence);
    }
  };
}

function compressLevel(layer: ReferenceCache, level: "fine-keys" | "coarse-keys", sequence: Sequence): void {
  const { shape } = layer;
  if (shape.sparse === undefined) return;
  const { size, stride } = windowsOf(level, shape.sparse);
  const { pages, position, count } = sequence;
  const first = windowCount(position, size, stride);
  const end = windowCount(position + count, size, stride);
  if (first === end) return;
  const keys = layer.load("keys", pages, first * stride, (end - 1) * stride + size);
  const means = compressHostKeys(keys, shape, size, stride);
  const width = shape.kvHeads * shape.headDim;
  for (let window = first; window < end; window++) {
    const from = (window - first) * width;
    layer.store(level, pages, window, means.subarray(from, from + width));
  }
}
