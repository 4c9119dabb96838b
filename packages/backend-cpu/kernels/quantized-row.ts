/**
 * One row of x times rows of a quantised weight, for decoding, in integers: x is split once into two i16 parts a
 * number, x = scale · (high + low / 2^15), exact to 2^-31 of the largest of its 32, which is less than one f32
 * rounding. Weights stay integers; products of eight i16 are one instruction: 13 GFLOP/s for q8_0 where widening to f32
 * gave 7.
 */
import { f16Scalar } from "./half";
import { firstPairs, lastPairs, minimumOf, scaleOf, upper4 } from "./dequantize";
import { madd, max4, sum4 } from "./vector";

/** Bytes of 32 prepared numbers: high i16 [32], low i16 [32], scale f32, sum f32, 8 unused. */
const RECORD: usize = 144;

// @ts-ignore: decorator
@inline function nearest8(a: v128, b: v128): v128 {
  return i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(f32x4.nearest(a)), i32x4.trunc_sat_f32x4_s(f32x4.nearest(b)));
}

/** Splits x [k], k a multiple of 32. False when a number is not finite or too small to split: widen instead. */
export function prepareRow(x: usize, k: i32, to: usize): bool {
  for (const end = x + (<usize>k << 2); x < end; x += 128) {
    let most = f32x4.splat(0), sum = most;
    for (let i: usize = 0; i < 128; i += 16) {
      const v = v128.load(x + i);
      most = f32x4.max(most, f32x4.abs(v));
      sum = f32x4.add(sum, v);
    }
    const largest = max4(most);
    if (!(largest < <f32>1e35) || (largest < <f32>1e-30 && largest != 0)) return false;
    const factor = f32x4.splat(largest == 0 ? <f32>0 : <f32>32767 / largest), fine = f32x4.splat(32768);
    for (let i: usize = 0; i < 128; i += 32) {
      const a = f32x4.mul(v128.load(x + i), factor), b = f32x4.mul(v128.load(x + i, 16), factor);
      v128.store(to + (i >> 1), nearest8(a, b));
      const restA = f32x4.sub(a, f32x4.nearest(a)), restB = f32x4.sub(b, f32x4.nearest(b));
      v128.store(to + (i >> 1), nearest8(f32x4.mul(restA, fine), f32x4.mul(restB, fine)), 64);
    }
    store<f32>(to, largest / <f32>32767, 128);
    store<f32>(to, sum4(sum), 132);
    to += RECORD;
  }
  return true;
}

/** Four sums of products of the i8 `q` with sixteen i16. */
// @ts-ignore: decorator
@inline function dot16(low: v128, high: v128, at: usize): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(low, v128.load(at)), i32x4.dot_i16x8_s(high, v128.load(at, 16)));
}

/** Both parts as f32, without x's scale. */
// @ts-ignore: decorator
@inline function joined(coarse: v128, fine: v128): v128 {
  return madd(f32x4.convert_i32x4_s(fine), f32x4.splat(3.0517578125e-5), f32x4.convert_i32x4_s(coarse));
}

/** Sixteen i8 times sixteen prepared numbers, added up in fours. */
// @ts-ignore: decorator
@inline function dotHalf(q: v128, at: usize): v128 {
  const low = i16x8.extend_low_i8x16_s(q), high = i16x8.extend_high_i8x16_s(q);
  return joined(dot16(low, high, at), dot16(low, high, at + 64));
}

/** Thirty-two i8 times a record. */
// @ts-ignore: decorator
@inline function dot32(a: v128, b: v128, at: usize): v128 {
  let low = i16x8.extend_low_i8x16_s(a), high = i16x8.extend_high_i8x16_s(a);
  const coarse = dot16(low, high, at), fine = dot16(low, high, at + 64);
  low = i16x8.extend_low_i8x16_s(b);
  high = i16x8.extend_high_i8x16_s(b);
  return joined(i32x4.add(coarse, dot16(low, high, at + 32)), i32x4.add(fine, dot16(low, high, at + 96)));
}

// @ts-ignore: decorator
@inline function f16At(at: usize): f32 {
  return f16Scalar(<u32>load<u16>(at));
}

function q8_0(x: usize, row: usize, k: i32): f32 {
  let total = f32x4.splat(0);
  for (let i = 0; i < k; i += 32) {
    const sum = dot32(v128.load(row, 2), v128.load(row, 18), x);
    total = madd(sum, f32x4.splat(f16At(row) * load<f32>(x, 128)), total);
    x += RECORD;
    row += 34;
  }
  return sum4(total);
}

function q4_0(x: usize, row: usize, k: i32): f32 {
  let total = f32x4.splat(0);
  const low4 = i8x16.splat(15), eight = i8x16.splat(8);
  for (let i = 0; i < k; i += 32) {
    const raw = v128.load(row, 2);
    const sum = dot32(i8x16.sub(v128.and(raw, low4), eight), i8x16.sub(upper4(raw), eight), x);
    total = madd(sum, f32x4.splat(f16At(row) * load<f32>(x, 128)), total);
    x += RECORD;
    row += 18;
  }
  return sum4(total);
}

function q4_1(x: usize, row: usize, k: i32): f32 {
  let total = f32x4.splat(0), offsets: f32 = 0;
  const low4 = i8x16.splat(15);
  for (let i = 0; i < k; i += 32) {
    const raw = v128.load(row, 4);
    const sum = dot32(v128.and(raw, low4), upper4(raw), x);
    total = madd(sum, f32x4.splat(f16At(row) * load<f32>(x, 128)), total);
    offsets += f16At(row + 2) * load<f32>(x, 132);
    x += RECORD;
    row += 20;
  }
  return sum4(total) + offsets;
}

/** q4_k (`fifth` false) and q5_k: eight sub-blocks of 32 with a 6-bit scale and minimum each. */
function qk(x: usize, row: usize, k: i32, fifth: bool): f32 {
  let total = f32x4.splat(0), offsets: f32 = 0;
  const low4 = i8x16.splat(15), one = i8x16.splat(1);
  for (let i = 0; i < k; i += 256) {
    const d = f16At(row), dmin = f16At(row + 2), scales = row + 4, bits = row + 16;
    const quants = fifth ? row + 48 : row + 16;
    for (let j: usize = 0; j < 8; j++) {
      const at = quants + ((j >> 1) << 5);
      let a = v128.load(at), b = v128.load(at, 16);
      a = j & 1 ? upper4(a) : v128.and(a, low4);
      b = j & 1 ? upper4(b) : v128.and(b, low4);
      if (fifth) {
        a = v128.or(a, i16x8.shl(v128.and(i16x8.shr_u(v128.load(bits), <i32>j), one), 4));
        b = v128.or(b, i16x8.shl(v128.and(i16x8.shr_u(v128.load(bits, 16), <i32>j), one), 4));
      }
      const sum = dot32(a, b, x);
      total = madd(sum, f32x4.splat(d * scaleOf(scales, <i32>j) * load<f32>(x, 128)), total);
      offsets += dmin * minimumOf(scales, <i32>j) * load<f32>(x, 132);
      x += RECORD;
    }
    row += fifth ? 176 : 144;
  }
  return sum4(total) - offsets;
}

function q6_k(x: usize, row: usize, k: i32): f32 {
  let total = f32x4.splat(0);
  const low4 = i8x16.splat(15), low2 = i8x16.splat(3), bias = i8x16.splat(32);
  for (let i = 0; i < k; i += 256) {
    const d = f16At(row + 208);
    for (let part: usize = 0; part < 8; part++) {
      const half = part >> 2, quarter = part & 3;
      const low = row + (half << 6) + ((quarter & 1) << 5), high = row + 128 + (half << 5), scales = row + 192 + (part << 1);
      const shift = <i32>(quarter << 1);
      let a = v128.load(low), b = v128.load(low, 16);
      a = quarter < 2 ? v128.and(a, low4) : upper4(a);
      b = quarter < 2 ? v128.and(b, low4) : upper4(b);
      a = i8x16.sub(v128.or(a, i16x8.shl(v128.and(i16x8.shr_u(v128.load(high), shift), low2), 4)), bias);
      b = i8x16.sub(v128.or(b, i16x8.shl(v128.and(i16x8.shr_u(v128.load(high, 16), shift), low2), 4)), bias);
      const scale = d * load<f32>(x, 128);
      total = madd(dotHalf(a, x), f32x4.splat(scale * <f32>load<i8>(scales)), total);
      total = madd(dotHalf(b, x + 32), f32x4.splat(scale * <f32>load<i8>(scales, 1)), total);
      x += RECORD;
    }
    row += 210;
  }
  return sum4(total);
}

function q4_g128(x: usize, row: usize, k: i32): f32 {
  let total = f32x4.splat(0);
  for (let i = 0; i < k; i += 128) {
    const d = f16At(row), zero = i8x16.splat(<i8>f16At(row + 2));
    for (let at: usize = 0; at < 64; at += 16) {
      const raw = v128.load(row + at, 4);
      const sum = dot32(firstPairs(raw, zero), lastPairs(raw, zero), x);
      total = madd(sum, f32x4.splat(d * load<f32>(x, 128)), total);
      x += RECORD;
    }
    row += 68;
  }
  return sum4(total);
}

/** Prepared x [k] times one row of the weight. */
export function quantizedDot(kind: i32, x: usize, row: usize, k: i32): f32 {
  if (kind == 3) return q8_0(x, row, k);
  if (kind == 4) return q4_0(x, row, k);
  if (kind == 5) return q4_1(x, row, k);
  if (kind == 6) return qk(x, row, k, false);
  if (kind == 7) return qk(x, row, k, true);
  return kind == 8 ? q6_k(x, row, k) : q4_g128(x, row, k);
}
