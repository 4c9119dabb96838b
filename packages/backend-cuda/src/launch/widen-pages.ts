/** 16-bit copies of an 8-bit cache's pages, for kernels that load 16-bit tiles: kernels/widen-pages.cu. */
import { dtypeInfo } from "@infllm/tensor";
import type { LayerCacheShape } from "@infllm/block-selection";
import type { CudaCache } from "../cuda-cache.ts";
import type { Machine } from "../machine.ts";
import type { Sequences } from "../sequences.ts";

/** Elements that a thread widens at once. */
const ELEMENTS = 8;
const THREADS = 256;

/** Where keys and values lie: `[pages, kvHeads, blockSize, headDim]` each. */
export interface Pages {
  readonly keys: number;
  readonly values: number;
}

/** Bytes of scratch for the keys of a layer, and as many for its values; 0 where its pages can be read as they are. */
export function widePageBytes(machine: Machine, { pages, kvHeads, blockSize, headDim, dtype }: LayerCacheShape): number {
  if (dtype !== "q8") return 0;
  return pages * kvHeads * blockSize * headDim * dtypeInfo(machine.activation).blockBytes;
}

/** The layer's pages in the activations' type: its own, or those that the batch uses copied into `scratch`. */
export function widePages(machine: Machine, { shape, addresses }: CudaCache, sequences: Sequences, scratch: Pages): Pages {
  const { kvHeads, blockSize, headDim, dtype } = shape;
  if (dtype !== "q8") return addresses;
  machine.launch(
    `widen_pages_${machine.activation}`,
    { grid: [sequences.blocks(blockSize), kvHeads, sequences.count], block: [THREADS] },
    (args) =>
      args
        .pointer(addresses.keys)
        .pointer(addresses.values)
        .pointer(addresses.scales)
        .pointer(scratch.keys)
        .pointer(scratch.values)
        .struct((s) => sequences.pack(s))
        .i32(headDim / ELEMENTS),
  );
  return scratch;
}
