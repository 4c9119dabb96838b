/**
 * Keys and values of new tokens into their pages: keys as panels [token / 8][d][8], values as panels [d / 8][token][8],
 * so that both products of attention read them as they lie. Task: one tile of tokens, all KV heads.
 */
import { F32, storeScalar } from "./half";
import { Q8, scalesAt, storeRow } from "./q8-rows";
import { tileAt } from "./attend-tile";

@unmanaged
class AppendArgs {
  k: u32;
  ldk: i32;
  v: u32;
  ldv: i32;
  keys: u32;
  values: u32;
  kind: i32;
  kvHeads: i32;
  d: i32;
  blockSize: i32;
  pageTable: u32;
  pageStride: i32;
  tiles: u32;
  scales: u32;
}

export function appendKv(at: usize, task: i32): void {
  const args = changetype<AppendArgs>(at), tile = tileAt(args.tiles, task);
  const d = args.d, blockSize = args.blockSize, kvHeads = args.kvHeads;
  const keys8 = (blockSize + 7) & ~7;
  const keyPage = <usize>(keys8 * d), valuePage = <usize>(blockSize * ((d + 7) & ~7));
  const pages = <usize>args.pageTable + (<usize>(tile.sequence * args.pageStride) << 2);
  for (let t = 0; t < tile.rows; t++) {
    const row = <usize>(tile.row + t), position = tile.position + t;
    const block = position / blockSize, slot = <usize>(position - block * blockSize);
    const first = <usize>(load<i32>(pages + (<usize>block << 2)) * kvHeads);
    let k = <usize>args.k + row * args.ldk * 4, v = <usize>args.v + row * args.ldv * 4;
    for (let h: usize = 0; h < <usize>kvHeads; h++) {
      const keyAt = (first + h) * keyPage + (slot >> 3) * d * 8 + (slot & 7);
      const valueAt = (first + h) * valuePage + (slot << 3);
      if (args.kind == Q8) {
        const scales = scalesAt(args.scales, first + h, keys8) + (slot << 2);
        store<f32>(scales, storeRow(k, d, <usize>args.keys + keyAt, 64, 8));
        store<f32>(scales + (<usize>keys8 << 2), storeRow(v, d, <usize>args.values + valueAt, <usize>blockSize << 3, 1));
        k += <usize>d << 2;
        v += <usize>d << 2;
        continue;
      }
      for (let i: usize = 0; i < <usize>d; i++) {
        const valueIndex = valueAt + (i >> 3) * blockSize * 8 + (i & 7);
        if (args.kind == F32) {
          store<f32>(<usize>args.keys + ((keyAt + (i << 3)) << 2), load<f32>(k));
          store<f32>(<usize>args.values + (valueIndex << 2), load<f32>(v));
        } else {
          storeScalar(args.kind, args.keys, keyAt + (i << 3), load<f32>(k));
          storeScalar(args.kind, args.values, valueIndex, load<f32>(v));
        }
        k += 4;
        v += 4;
      }
    }
  }
}
