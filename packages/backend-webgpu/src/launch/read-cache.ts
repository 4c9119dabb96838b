import { ShapeError, dtypeInfo, toF32 } from "@infllm/tensor";
import { checkSequence, rowPlaces } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import { ownCache } from "../checks.ts";
import type { Machine } from "../machine.ts";
import type { Readback } from "../readback.ts";
import { Sequences } from "../sequences.ts";
import type { WebGpuCache } from "../webgpu-cache.ts";

/** f32 `[to − from, kvHeads, headDim]`: tokens or windows `[from, to)` of one sequence. */
export async function readCache(
  machine: Machine,
  readback: Readback,
  cache: LayerCache,
  what: CacheRows,
  batch: SequenceBatch,
  sequence: number,
  from: number,
  to: number,
): Promise<Float32Array> {
  const layer = ownCache(machine, "readCache: cache", cache);
  const { kvHeads, headDim, pages } = layer.shape;
  const sequences = new Sequences(machine, "readCache", batch, layer.shape);
  checkSequence(sequence, batch);
  const only = { rows: [sequence, sequence + 1] } as const;
  const [length = 0] = await sequences.lengths.view(only).toHost(readback);
  const table = await sequences.pageTable.view(only).toHost(readback);
  const places = rowPlaces(what, layer.shape);
  places.check(from, to, length);
  const { slots } = places;
  const out = new Float32Array((to - from) * kvHeads * headDim);
  const loaded = new Map<number, Float32Array>();
  for (let row = from; row < to; row++) {
    const place = places.place(row);
    const number = table[place.block] ?? -1;
    if (number < 0 || number >= pages) {
      throw new ShapeError(`readCache: the page table gives page ${number} for block ${place.block}; the cache has pages 0 to ${pages - 1}.`);
    }
    const data = loaded.get(number) ?? (await page(readback, layer, what, number, slots));
    loaded.set(number, data);
    for (let head = 0; head < kvHeads; head++) {
      const at = (head * slots + place.slot) * headDim;
      out.set(data.subarray(at, at + headDim), ((row - from) * kvHeads + head) * headDim);
    }
  }
  return out;
}

/** One part of a page: `[kvHeads, slots, headDim]`. */
async function page(readback: Readback, layer: WebGpuCache, what: CacheRows, number: number, slots: number): Promise<Float32Array> {
  const { dtype, shape: { kvHeads, headDim } } = layer;
  const count = kvHeads * slots * headDim;
  const bytes = count * dtypeInfo(dtype).blockBytes;
  return toF32(dtype, await readback.read(layer.part(what).allocation, number * bytes, bytes), count);
}
