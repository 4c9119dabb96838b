import { ShapeError, byteLength, decodeQ8Rows, toF32 } from "@infllm/tensor";
import { checkSequence, rowPlaces } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import { ownCache } from "../checks.ts";
import type { CudaCache } from "../cuda-cache.ts";
import type { Machine } from "../machine.ts";
import { Sequences } from "../sequences.ts";

/** f32 `[to − from, kvHeads, headDim]`: tokens or windows `[from, to)` of one sequence. The stream must be drained. */
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
  const { kvHeads, headDim, pages } = layer.shape;
  const sequences = new Sequences(machine, "readCache", batch, layer.shape);
  checkSequence(sequence, batch);
  const length = sequences.lengths.view({ rows: [sequence, sequence + 1] }).readNow()[0] as number;
  const table = sequences.pageTable.view({ rows: [sequence, sequence + 1] }).readNow();
  const places = rowPlaces(what, layer.shape);
  places.check(from, to, length);
  const { slots } = places;
  const out = new Float32Array((to - from) * kvHeads * headDim);
  const loaded = { number: -1, rows: new Float32Array(0) };
  for (let row = from; row < to; row++) {
    const place = places.place(row);
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

/** One part of a page: `[kvHeads, slots, headDim]`. */
function page(machine: Machine, { shape, addresses }: CudaCache, what: CacheRows, number: number, slots: number): Float32Array {
  const { kvHeads, headDim } = shape;
  const dtype = what === "keys" || what === "values" ? shape.dtype : machine.activation;
  const elements = kvHeads * slots * headDim;
  if (dtype === "q8") {
    const quants = new Int8Array(elements);
    const pairs = new Uint16Array(2 * kvHeads * slots);
    machine.stream.readNow(new Uint8Array(quants.buffer), addresses[what] + number * elements);
    machine.stream.readNow(pairs, addresses.scales + number * pairs.byteLength);
    return decodeQ8Rows({ quants, scales: pairs.filter((_, i) => i % 2 === (what === "keys" ? 0 : 1)) }, headDim);
  }
  const bytes = new Uint8Array(byteLength(dtype, elements));
  machine.stream.readNow(bytes, addresses[what] + number * bytes.length);
  return toF32(dtype, bytes, elements);
}
