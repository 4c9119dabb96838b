import { ShapeError, dtypeInfo, toF32 } from "@infllm/tensor";
import { windowCount, windowSlot } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import { ownCache } from "../checks.ts";
import type { Machine } from "../machine.ts";
import type { Readback } from "../readback.ts";
import { Sequences } from "../sequences.ts";
import { windowLevels } from "../webgpu-cache.ts";
import type { WebGpuCache, WindowLevel } from "../webgpu-cache.ts";

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
  const { kvHeads, headDim, blockSize, pages } = layer.shape;
  const sequences = new Sequences(machine, "readCache", batch, layer.shape);
  if (!Number.isInteger(sequence) || sequence < 0 || sequence >= batch.sequences) {
    throw new ShapeError(`readCache: sequence ${sequence} is not in the batch, which has ${batch.sequences}.`);
  }
  const only = { rows: [sequence, sequence + 1] } as const;
  const [length = 0] = await sequences.lengths.view(only).toHost(readback);
  const table = await sequences.pageTable.view(only).toHost(readback);
  const level = levelOf(layer, what);
  const rows = level === undefined ? length : windowCount(length, level.size, level.stride);
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to < from || to > rows) {
    throw new ShapeError(`readCache: rows [${from}, ${to}) are not among the ${rows} ${what} of a sequence of ${length} tokens.`);
  }
  const slots = level?.slots ?? blockSize;
  const out = new Float32Array((to - from) * kvHeads * headDim);
  const loaded = new Map<number, Float32Array>();
  for (let row = from; row < to; row++) {
    const place = level
      ? windowSlot(row, level.size, level.stride, blockSize)
      : { block: Math.floor(row / blockSize), slot: row % blockSize };
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

function levelOf({ shape }: WebGpuCache, what: CacheRows): WindowLevel | undefined {
  if (what === "keys" || what === "values") return undefined;
  const levels = windowLevels("readCache", shape);
  return what === "fine-keys" ? levels.fine : levels.coarse;
}

/** One part of a page: `[kvHeads, slots, headDim]`. */
async function page(readback: Readback, layer: WebGpuCache, what: CacheRows, number: number, slots: number): Promise<Float32Array> {
  const { kvHeads, headDim, dtype } = layer.shape;
  const count = kvHeads * slots * headDim;
  const bytes = count * dtypeInfo(dtype).blockBytes;
  return toF32(dtype, await readback.read(layer.part(what).allocation, number * bytes, bytes), count);
}
