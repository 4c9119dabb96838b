import { ShapeError, decodeBf16, decodeF16 } from "@infllm/tensor";
import { windowCount, windowSlot } from "@infllm/block-selection";
import type { CacheRows, LayerCache, SequenceBatch } from "@infllm/block-selection";
import { windowLevels } from "../wasm/cpu-cache.ts";
import type { CpuCache, WindowLevel } from "../wasm/cpu-cache.ts";
import type { Machine } from "../wasm/machine.ts";
import { ownCache } from "./checks.ts";
import { Sequences } from "./sequences.ts";

/** Where element i of a row lies, in elements from the start of its part. */
type Locate = (page: number, slot: number, kvHead: number, i: number) => number;

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
  const { kvHeads, headDim, blockSize } = layer.shape;
  const sequences = new Sequences(machine, "readCache", batch, layer.shape);
  if (!Number.isInteger(sequence) || sequence < 0 || sequence >= batch.sequences) {
    throw new ShapeError(`readCache: sequence ${sequence} is not in the batch, which has ${batch.sequences}.`);
  }
  const { length } = sequences.one(sequence);
  const level = levelOf(layer, what);
  const rows = level === undefined ? length : windowCount(length, level.size, level.stride);
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to < from || to > rows) {
    throw new ShapeError(`readCache: rows [${from}, ${to}) are not among the ${rows} ${what} of a sequence of ${length} tokens.`);
  }
  const load = loader(machine, layer, what);
  const locate = locator(layer, what, level);
  const out = new Float32Array((to - from) * kvHeads * headDim);
  let at = 0;
  for (let row = from; row < to; row++) {
    const { block, slot } = level
      ? windowSlot(row, level.size, level.stride, blockSize)
      : { block: Math.floor(row / blockSize), slot: row % blockSize };
    const page = sequences.page(sequence, block);
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      for (let i = 0; i < headDim; i++) out[at++] = load(locate(page, slot, kvHead, i));
    }
  }
  return out;
}

function levelOf({ shape }: CpuCache, what: CacheRows): WindowLevel | undefined {
  if (what === "keys" || what === "values") return undefined;
  const levels = windowLevels("readCache", shape);
  return what === "fine-keys" ? levels.fine : levels.coarse;
}

function locator({ shape }: CpuCache, what: CacheRows, level: WindowLevel | undefined): Locate {
  const { kvHeads, headDim, blockSize } = shape;
  if (level) return (page, slot, kvHead, i) => ((page * kvHeads + kvHead) * level.slots + slot) * headDim + i;
  if (what === "keys") {
    const size = Math.ceil(blockSize / 8) * 8 * headDim;
    return (page, slot, kvHead, i) => (page * kvHeads + kvHead) * size + Math.floor(slot / 8) * headDim * 8 + i * 8 + (slot % 8);
  }
  const size = blockSize * Math.ceil(headDim / 8) * 8;
  return (page, slot, kvHead, i) => (page * kvHeads + kvHead) * size + Math.floor(i / 8) * blockSize * 8 + slot * 8 + (i % 8);
}

function loader(machine: Machine, layer: CpuCache, what: CacheRows): (index: number) => number {
  const { u8, f32 } = machine.memory;
  const at = layer.addresses;
  const start = what === "keys" ? at.keys : what === "values" ? at.values : what === "fine-keys" ? at.fine : at.coarse;
  const { dtype } = layer.shape;
  if (dtype === "f32" || what === "fine-keys" || what === "coarse-keys") return (index) => f32[(start >>> 2) + index] as number;
  const u16 = new Uint16Array(u8.buffer);
  const decode = dtype === "bf16" ? decodeBf16 : decodeF16;
  return (index) => decode(u16.subarray((start >>> 1) + index, (start >>> 1) + index + 1))[0] as number;
}
