import { byteLength, toF32 } from "@infllm/tensor";
import { checkSequence, rowPlaces } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import type { CpuCache } from "../wasm/cpu-cache.ts";
import type { Machine } from "../wasm/machine.ts";
import { ownCache } from "./checks.ts";
import { Sequences } from "./sequences.ts";

/** Where element i of a row lies, in elements from the start of its part. */
type Locate = (page: number, slot: number, kvHead: number, i: number) => number;
/** What the elements of a row are multiplied by. */
type ScaleOf = (page: number, slot: number, kvHead: number) => number;

/** f32 `[to − from, kvHeads, headDim]`: tokens or windows `[from, to)` of one sequence. */
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
  const { kvHeads, headDim } = layer.shape;
  const sequences = new Sequences(machine, "readCache", batch, layer.shape);
  checkSequence(sequence, batch);
  const { length } = sequences.one(sequence);
  const places = rowPlaces(what, layer.shape);
  places.check(from, to, length);
  const load = loader(machine, layer, what);
  const locate = locator(layer, what, places.slots);
  const scaleOf = scaler(machine, layer, what);
  const out = new Float32Array((to - from) * kvHeads * headDim);
  let at = 0;
  for (let row = from; row < to; row++) {
    const { block, slot } = places.place(row);
    const page = sequences.page(sequence, block);
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const scale = scaleOf(page, slot, kvHead);
      for (let i = 0; i < headDim; i++) out[at++] = scale * load(locate(page, slot, kvHead, i));
    }
  }
  return out;
}

function locator({ shape }: CpuCache, what: CacheRows, slots: number): Locate {
  const { kvHeads, headDim, blockSize } = shape;
  if (what === "keys") {
    const size = Math.ceil(blockSize / 8) * 8 * headDim;
    return (page, slot, kvHead, i) => (page * kvHeads + kvHead) * size + Math.floor(slot / 8) * headDim * 8 + i * 8 + (slot % 8);
  }
  if (what === "values") {
    const size = blockSize * Math.ceil(headDim / 8) * 8;
    return (page, slot, kvHead, i) => (page * kvHeads + kvHead) * size + Math.floor(i / 8) * blockSize * 8 + slot * 8 + (i % 8);
  }
  return (page, slot, kvHead, i) => ((page * kvHeads + kvHead) * slots + slot) * headDim + i;
}

function loader(machine: Machine, layer: CpuCache, what: CacheRows): (index: number) => number {
  const { u8, f32 } = machine.memory;
  const at = layer.addresses;
  const start = what === "keys" ? at.keys : what === "values" ? at.values : what === "fine-keys" ? at.fine : at.coarse;
  const { dtype } = layer.shape;
  if (dtype === "f32" || what === "fine-keys" || what === "coarse-keys") return (index) => f32[(start >>> 2) + index] as number;
  if (dtype === "q8") return (index) => ((u8[start + index] as number) << 24) >> 24;
  const width = byteLength(dtype, 1);
  return (index) => toF32(dtype, u8.subarray(start + index * width, start + (index + 1) * width), 1)[0] as number;
}

function scaler(machine: Machine, layer: CpuCache, what: CacheRows): ScaleOf {
  const { dtype, kvHeads, blockSize } = layer.shape;
  if (dtype !== "q8" || what === "fine-keys" || what === "coarse-keys") return () => 1;
  const { f32 } = machine.memory;
  const start = layer.addresses.scales >>> 2;
  const part = what === "keys" ? 0 : 1;
  const slots = Math.ceil(blockSize / 8) * 8;
  return (page, slot, kvHead) => f32[start + (2 * (page * kvHeads + kvHead) + part) * slots + slot] as number;
}
