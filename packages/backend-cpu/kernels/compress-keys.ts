/**
 * Means of the windows that end within a tile of tokens, one level at a time: cached keys added in f32, oldest first,
 * divided by the window's size, stored as [slot][d] f32 in the page of the block the window ends in.
 */
import { loadScalar } from "./half";
import { Q8, scalesAt } from "./q8-rows";
import { tileAt } from "./attend-tile";
import { Level, windowAt } from "./windows";

@unmanaged
class CompressArgs {
  keys: u32;
  kind: i32;
  kvHeads: i32;
  d: i32;
  blockSize: i32;
  pageTable: u32;
  pageStride: i32;
  tiles: u32;
  out: u32;
  slots: i32;
  size: i32;
  stride: i32;
  scales: u32;
}

/** Task: (tile, KV head). Scratch: the level. */
export function compressKeys(at: usize, task: i32, scratch: usize): void {
  const args = changetype<CompressArgs>(at), level = changetype<Level>(scratch);
  const kvHead = task % args.kvHeads, tile = tileAt(args.tiles, task / args.kvHeads);
  const d = args.d, blockSize = args.blockSize, size = args.size, stride = args.stride;
  const keyPage = <usize>(((blockSize + 7) & ~7) * d);
  level.base = args.out;
  level.pages = <usize>args.pageTable + (<usize>(tile.sequence * args.pageStride) << 2);
  level.slots = args.slots;
  level.size = size;
  level.stride = stride;
  level.blockSize = blockSize;
  level.kvHeads = args.kvHeads;
  level.kvHead = kvHead;
  level.d = d;

  const firstEnd = max(tile.position, size - 1), last = tile.position + tile.rows - 1;
  for (let j = (firstEnd - size + stride) / stride; j * stride + size - 1 <= last; j++) {
    const mean = windowAt(level, j), first = j * stride;
    memory.fill(mean, 0, <usize>d << 2);
    for (let position = first; position < first + size; position++) {
      const block = position / blockSize, slot = <usize>(position - block * blockSize);
      const page = <usize>(load<i32>(level.pages + (<usize>block << 2)) * args.kvHeads + kvHead);
      const key = page * keyPage + (slot >> 3) * d * 8 + (slot & 7);
      if (args.kind == Q8) {
        const scale = load<f32>(scalesAt(args.scales, page, (blockSize + 7) & ~7) + (slot << 2));
        for (let i: usize = 0; i < <usize>d; i++) {
          const sum = mean + (i << 2), element = <f32>load<i8>(<usize>args.keys + key + (i << 3)) * scale;
          store<f32>(sum, load<f32>(sum) + element);
        }
        continue;
      }
      for (let i: usize = 0; i < <usize>d; i++) {
        const sum = mean + (i << 2);
        store<f32>(sum, load<f32>(sum) + loadScalar(args.kind, args.keys, key + (i << 3)));
      }
    }
    for (let i: usize = 0; i < <usize>d << 2; i += 4) store<f32>(mean + i, load<f32>(mean + i) / <f32>size);
  }
}
