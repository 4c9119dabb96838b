/**
 * Vector primitives. Every kernel is built twice: with relaxed SIMD `madd` is one fused instruction, without it a
 * multiplication and an addition; the sources are the same.
 */

// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline export function sum4(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

// @ts-ignore: decorator
@inline export function max4(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** Four columns of four rows, 32 bits each, to half of the lines `[column][8]` at `to`. */
// @ts-ignore: decorator
@inline export function interleaveFour(rows: usize, stride: usize, to: usize): void {
  const a = v128.load(rows), b = v128.load(rows + stride), c = v128.load(rows + 2 * stride), d = v128.load(rows + 3 * stride);
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const AB = v128.shuffle<i32>(a, b, 2, 6, 3, 7), CD = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 32);
  v128.store(to, v128.shuffle<i64>(AB, CD, 0, 2), 64);
  v128.store(to, v128.shuffle<i64>(AB, CD, 1, 3), 96);
}

/**
 * 2^x for x in [-126, 127], clamped to it; relative error below 3e-7 (polynomial 1.02e-7, the rest is rounding).
 * Adding 1.5·2^23 leaves round(x) in the low mantissa bits, from where a shift moves it onto the exponent. NaN stays
 * NaN: `pmax(a, b)` is `a < b ? b : a`, one instruction, unlike `f32x4.max`.
 */
// @ts-ignore: decorator
@inline export function exp2(x: v128): v128 {
  const magic = f32x4.splat(12582912.0);
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-126.0)), f32x4.splat(127.0));
  const shifted = f32x4.add(x, magic);
  const f = f32x4.sub(x, f32x4.sub(shifted, magic));
  let y = madd(f, f32x4.splat(0.0013390863364764831), f32x4.splat(0.00967603191832597));
  y = madd(y, f, f32x4.splat(0.05550357114219032));
  y = madd(y, f, f32x4.splat(0.2402210748530827));
  y = madd(y, f, f32x4.splat(0.6931471880262285));
  y = madd(y, f, f32x4.splat(1.000000075454897));
  return i32x4.add(y, i32x4.shl(shifted, 23));
}

// @ts-ignore: decorator
@inline export function exp2Scalar(x: f32): f32 {
  return f32x4.extract_lane(exp2(f32x4.splat(x)), 0);
}

/** Zeros `bytes` bytes, a multiple of 4. */
export function clear(to: usize, bytes: usize): void {
  memory.fill(to, 0, bytes);
}
