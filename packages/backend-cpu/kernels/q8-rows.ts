/**
 * Rows of 8-bit integers with one scale each: keys and values of one token and KV head in a q8 cache. What they hold is
 * said in `@infllm/tensor`, `q8-rows.ts`; here scales lie as f32 [pages][kvHeads][keys, values][blockSize rounded up to 8].
 */
import { f16Scalar, toF16 } from "./half";

/** As in `src/abi.ts`. */
export const Q8: i32 = 16;

const F16_INFINITY: u16 = 0x7c00;
const F16_LARGEST: u16 = 0x7bff;

/** Scales of a page's KV head, numbered over all pages: its keys', then its values'. */
// @ts-ignore: decorator
@inline export function scalesAt(scales: u32, head: usize, keys8: i32): usize {
  return <usize>scales + ((head * 2 * <usize>keys8) << 2);
}

/** Scale of `d` f32: a NaN, whose bits are larger than any other number's, makes it NaN. */
function rowScale(row: usize, d: i32): f32 {
  let most: u32 = 0;
  for (let i: usize = 0; i < <usize>d << 2; i += 4) most = max(most, load<u32>(row + i) & 0x7fffffff);
  const bits = toF16(reinterpret<f32>(most) / 127);
  return f16Scalar(bits == F16_INFINITY ? F16_LARGEST : bits);
}

/** Stores `d` f32 as integers, eight of them `step` bytes apart and each eight `panel` bytes from the last. @returns their scale */
export function storeRow(row: usize, d: i32, to: usize, panel: usize, step: usize): f32 {
  const scale = rowScale(row, d);
  for (let i: usize = 0; i < <usize>d; i++) {
    const ratio = scale > 0 ? load<f32>(row + (i << 2)) / scale : <f32>0;
    store<i8>(to + (i >> 3) * panel + (i & 7) * step, <i8>nearest(min<f32>(127, max<f32>(-127, ratio))));
  }
  return scale;
}

/** Key panels [d][8] of 8 tokens each. */
export function widenKeys(from: usize, scales: usize, to: usize, panels: i32, d: i32): void {
  for (let panel = 0; panel < panels; panel++) {
    const low = v128.load(scales), high = v128.load(scales, 16);
    const end = from + (<usize>d << 3);
    while (from < end) {
      const raw = v128.load8x8_s(from);
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(raw)), low));
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(raw)), high), 16);
      from += 8;
      to += 32;
    }
    scales += 32;
  }
}

/** Value panels [blockSize][8] of 8 columns each, of which the first `keys` rows are wanted. */
export function widenValues(from: usize, scales: usize, to: usize, panels: i32, blockSize: i32, keys: i32): void {
  for (let panel = 0; panel < panels; panel++) {
    let at = from, wide = to;
    for (let key: usize = 0; key < <usize>keys << 2; key += 4) {
      const raw = v128.load8x8_s(at), scale = v128.load32_splat(scales + key);
      v128.store(wide, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(raw)), scale));
      v128.store(wide, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(raw)), scale), 16);
      at += 8;
      wide += 32;
    }
    from += <usize>blockSize << 3;
    to += <usize>blockSize << 5;
  }
}
