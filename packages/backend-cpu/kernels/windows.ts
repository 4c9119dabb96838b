/** Compressed keys out of their pages. Window j lies in the page of the block it ends in, as [slot][d] f32. */

/** One level (fine or coarse) of one sequence and KV head. */
@unmanaged
export class Level {
  base: usize;
  pages: usize;
  slots: i32;
  size: i32;
  stride: i32;
  blockSize: i32;
  kvHeads: i32;
  kvHead: i32;
  d: i32;
}

// @ts-ignore: decorator
@inline export function windowAt(level: Level, j: i32): usize {
  const end = j * level.stride + level.size - 1, block = end / level.blockSize;
  const slot = (end - block * level.blockSize) / level.stride;
  const page = load<i32>(level.pages + (<usize>block << 2));
  return level.base + ((<usize>((page * level.kvHeads + level.kvHead) * level.slots + slot) * level.d) << 2);
}

/** Four rows of d to columns `lane` … `lane + 3` of a [d][8] panel. */
export function transpose4(a: usize, b: usize, c: usize, e: usize, d: i32, to: usize): void {
  let i = 0;
  for (; i + 4 <= d; i += 4) {
    const v0 = v128.load(a), v1 = v128.load(b), v2 = v128.load(c), v3 = v128.load(e);
    const low = v128.shuffle<i32>(v0, v1, 0, 4, 1, 5), low2 = v128.shuffle<i32>(v2, v3, 0, 4, 1, 5);
    const high = v128.shuffle<i32>(v0, v1, 2, 6, 3, 7), high2 = v128.shuffle<i32>(v2, v3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(low, low2, 0, 2));
    v128.store(to, v128.shuffle<i64>(low, low2, 1, 3), 32);
    v128.store(to, v128.shuffle<i64>(high, high2, 0, 2), 64);
    v128.store(to, v128.shuffle<i64>(high, high2, 1, 3), 96);
    a += 16;
    b += 16;
    c += 16;
    e += 16;
    to += 128;
  }
  for (; i < d; i++) {
    store<f32>(to, load<f32>(a));
    store<f32>(to, load<f32>(b), 4);
    store<f32>(to, load<f32>(c), 8);
    store<f32>(to, load<f32>(e), 12);
    a += 4;
    b += 4;
    c += 4;
    e += 4;
    to += 32;
  }
}

/** Windows [first, first + count) as panels [d][8]; the last panel repeats the last window. */
export function gatherWindows(level: Level, first: i32, count: i32, to: usize): void {
  const last = first + count - 1, d = level.d;
  for (let j = first; j <= last; j += 8) {
    for (let half = 0; half < 8; half += 4) {
      transpose4(
        windowAt(level, min(j + half, last)),
        windowAt(level, min(j + half + 1, last)),
        windowAt(level, min(j + half + 2, last)),
        windowAt(level, min(j + half + 3, last)),
        d,
        to + (<usize>half << 2),
      );
    }
    to += <usize>d << 5;
  }
}
