/** Block-quantised rows to f32. Kinds as in `src/abi.ts`: 3 q8_0, 4 q4_0, 5 q4_1, 6 q4_k, 7 q5_k, 8 q6_k, 9 q4_g128. */
import { f16Scalar } from "./half";

// @ts-ignore: decorator
@inline function f16At(at: usize): f32 {
  return f16Scalar(<u32>load<u16>(at));
}

/** The upper four bits of each byte; x64 shifts 16-bit lanes only, so the bits that cross over are masked off. */
// @ts-ignore: decorator
@inline export function upper4(raw: v128): v128 {
  return v128.and(i16x8.shr_u(raw, 4), i8x16.splat(15));
}

/** Sixteen i8 times `scale` plus `offset`, as f32. */
// @ts-ignore: decorator
@inline function store16(to: usize, q: v128, scale: v128, offset: v128): void {
  const low = i16x8.extend_low_i8x16_s(q), high = i16x8.extend_high_i8x16_s(q);
  v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), scale), offset));
  v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), scale), offset), 16);
  v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), scale), offset), 32);
  v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), scale), offset), 48);
}

function q8_0(from: usize, to: usize): void {
  const scale = f32x4.splat(f16At(from)), zero = f32x4.splat(0);
  store16(to, v128.load(from, 2), scale, zero);
  store16(to + 64, v128.load(from, 18), scale, zero);
}

function q4_0(from: usize, to: usize): void {
  const scale = f32x4.splat(f16At(from)), zero = f32x4.splat(0);
  const raw = v128.load(from, 2), eight = i8x16.splat(8);
  store16(to, i8x16.sub(v128.and(raw, i8x16.splat(15)), eight), scale, zero);
  store16(to + 64, i8x16.sub(upper4(raw), eight), scale, zero);
}

function q4_1(from: usize, to: usize): void {
  const scale = f32x4.splat(f16At(from)), offset = f32x4.splat(f16At(from + 2));
  const raw = v128.load(from, 4);
  store16(to, v128.and(raw, i8x16.splat(15)), scale, offset);
  store16(to + 64, upper4(raw), scale, offset);
}

/** 6-bit scale `j` of eight, packed in 12 bytes with the minima. */
export function scaleOf(scales: usize, j: i32): f32 {
  if (j < 4) return <f32>(load<u8>(scales + j) & 63);
  return <f32>((load<u8>(scales + j + 4) & 15) | ((load<u8>(scales + j - 4) >> 6) << 4));
}

/** 6-bit minimum `j` of eight. */
export function minimumOf(scales: usize, j: i32): f32 {
  if (j < 4) return <f32>(load<u8>(scales + j + 4) & 63);
  return <f32>((load<u8>(scales + j + 4) >> 4) | ((load<u8>(scales + j) >> 6) << 4));
}

/** q4_k (`high` 0) and q5_k (`high` the address of the fifth bits): eight sub-blocks of 32. */
function qk(from: usize, quants: usize, high: usize, to: usize): void {
  const d = f16At(from), dmin = f16At(from + 2), scales = from + 4;
  const low4 = i8x16.splat(15), one = i8x16.splat(1);
  for (let j: usize = 0; j < 8; j++) {
    const scale = f32x4.splat(d * scaleOf(scales, <i32>j)), offset = f32x4.splat(-dmin * minimumOf(scales, <i32>j));
    const raw = quants + ((j >> 1) << 5);
    for (let half: usize = 0; half < 32; half += 16) {
      let q = v128.load(raw + half);
      q = j & 1 ? upper4(q) : v128.and(q, low4);
      if (high) {
        const bit = v128.and(i16x8.shr_u(v128.load(high + half), <i32>j), one);
        q = v128.or(q, i16x8.shl(bit, 4));
      }
      store16(to + (j << 7) + (half << 2), q, scale, offset);
    }
  }
}

function q6_k(from: usize, to: usize): void {
  const d = f16At(from + 208), zero = f32x4.splat(0);
  const low4 = i8x16.splat(15), low2 = i8x16.splat(3), bias = i8x16.splat(32);
  for (let half: usize = 0; half < 2; half++) {
    const low = from + (half << 6), high = from + 128 + (half << 5), scales = from + 192 + (half << 3);
    for (let part: usize = 0; part < 4; part++) {
      for (let l: usize = 0; l < 32; l += 16) {
        let q = v128.load(low + ((part & 1) << 5) + l);
        q = part < 2 ? v128.and(q, low4) : upper4(q);
        const top = v128.and(i16x8.shr_u(v128.load(high + l), <i32>(part << 1)), low2);
        q = i8x16.sub(v128.or(q, i16x8.shl(top, 4)), bias);
        const scale = f32x4.splat(d * <f32>load<i8>(scales + (part << 1) + (l >> 4)));
        store16(to + (half << 9) + (part << 7) + (l << 2), q, scale, zero);
      }
    }
  }
}

/** The low and high nibbles of sixteen bytes in turn: the first sixteen numbers of q4_g128, less the zero point. */
// @ts-ignore: decorator
@inline export function firstPairs(raw: v128, zero: v128): v128 {
  const low = v128.and(raw, i8x16.splat(15)), high = upper4(raw);
  return i8x16.sub(v128.shuffle<i8>(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), zero);
}

/** The sixteen numbers after those. */
// @ts-ignore: decorator
@inline export function lastPairs(raw: v128, zero: v128): v128 {
  const low = v128.and(raw, i8x16.splat(15)), high = upper4(raw);
  return i8x16.sub(v128.shuffle<i8>(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), zero);
}

/** q4_g128: 128 numbers sharing scale and zero point, an integer. */
function q4_g128(from: usize, to: usize): void {
  const scale = f32x4.splat(f16At(from)), none = f32x4.splat(0);
  const zero = i8x16.splat(<i8>f16At(from + 2));
  for (let i: usize = 0; i < 64; i += 16) {
    const raw = v128.load(from + i, 4);
    store16(to + (i << 3), firstPairs(raw, zero), scale, none);
    store16(to + (i << 3) + 64, lastPairs(raw, zero), scale, none);
  }
}

export function blockElements(kind: i32): i32 {
  if (kind == 9) return 128;
  return kind < 6 ? 32 : 256;
}

export function blockBytes(kind: i32): i32 {
  if (kind == 3) return 34;
  if (kind == 4) return 18;
  if (kind == 5) return 20;
  if (kind == 6) return 144;
  if (kind == 7) return 176;
  return kind == 8 ? 210 : 68;
}

/** Elements [first, first + count) of a quantised row as f32; both multiples of the block. */
export function dequantizeRow(kind: i32, row: usize, first: i32, count: i32, to: usize): void {
  const elements = blockElements(kind), bytes = <usize>blockBytes(kind);
  let from = row + <usize>(first / elements) * bytes;
  for (let i = 0; i < count; i += elements) {
    if (kind == 3) q8_0(from, to);
    else if (kind == 4) q4_0(from, to);
    else if (kind == 5) q4_1(from, to);
    else if (kind == 6) qk(from, from + 16, 0, to);
    else if (kind == 7) qk(from, from + 48, from + 16, to);
    else if (kind == 8) q6_k(from, to);
    else q4_g128(from, to);
    from += bytes;
    to += <usize>elements << 2;
  }
}
