import { ShapeError, decodeBf16, decodeF16 } from "@infllm/tensor";
import { windowCount, windowSlot } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import { ownCache } from "../checks.ts";
import { windowLevels } from "../cuda-cache.ts";
import type { CudaCache, WindowLevel } from "../cuda-cache.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";

/** f32 `[to − from, kvHeads, headDim]`: tokens or windows `[from, to)` of one sequence. The ops before must be done. */
export function readCache(
  machine: Machine,
  cache: LayerCache,
  what: CacheRows,
  batch: SequenceBatch,
  sequence: number,
  from: number,
  to: number,
): Float32Array {
  const layer = ownCache(machine, "readCache: cache", cache);
  const { kvHeads, headDim, blockSize, pages } = layer.shape;
  const sequences = new Sequences(machine, "readCache", batch, layer.shape);
  if (!Number.isInteger(sequence) || sequence < 0 || sequence >= batch.sequences) {
    throw new ShapeError(`readCache: sequence ${sequence} is not in the batch, which has ${batch.sequences}.`);
  }
  const length = sequences.lengths.view({ rows: [sequence, sequence + 1] }).toHost()[0] as number;
  const table = sequences.pageTable.view({ rows: [sequence, sequence + 1] }).toHost();
  const level = levelOf(layer, what);
  const rows = level === undefined ? length : windowCount(length, level.size, level.stride);
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to < from || to > rows) {
    throw new ShapeError(`readCache: rows [${from}, ${to}) are not among the ${rows} ${what} of a sequence of ${length} tokens.`);
  }
  const slots = level?.slots ?? blockSize;
  const out = new Float32Array((to - from) * kvHeads * headDim);
  const loaded = { number: -1, rows: new Float32Array(0) };
  for (let row = from; row < to; row++) {
    const place = level
      ? windowSlot(row, level.size, level.stride, blockSize)
      : { block: Math.floor(row / blockSize), slot: row % blockSize };
    const number = table[place.block] ?? -1;
    if (number < 0 || number >= pages) {
      throw new ShapeError(`readCache: the page table gives page ${number} for block ${place.block}; the cache has pages 0 to ${pages - 1}.`);
    }
    if (number !== loaded.number) Object.assign(loaded, { number, rows: page(machine, layer, what, number, slots) });
    for (let head = 0; head < kvHeads; head++) {
      const at = (head * slots + place.slot) * headDim;
      out.set(loaded.rows.subarray(at, at + headDim), ((row - from) * kvHeads + head) * headDim);
    }
  }
  return out;
}

function levelOf({ shape }: CudaCache, what: CacheRows): WindowLevel | undefined {
  if (what === "keys" || what === "values") return undefined;
  const levels = windowLevels("readCache", shape);
  return what === "fine-keys" ? levels.fine : levels.coarse;
}

/** One part of a page: `[kvHeads, slots, headDim]`. */
function page(machine: Machine, { shape, addresses }: CudaCache, what: CacheRows, number: number, slots: number): Float32Array {
  const bits = new Uint16Array(shape.kvHeads * slots * shape.headDim);
  machine.stream.read(bits, addresses[what] + number * bits.byteLength);
  return shape.dtype === "f16" ? decodeF16(bits) : decodeBf16(bits);
}
