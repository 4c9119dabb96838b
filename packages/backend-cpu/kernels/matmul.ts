/**
 * C [m, 8·panels] (+)= A [m, k] · B, the core of `linear` and of both attention products.
 *
 * A is row-major (lda bytes a row) and read by splats, so it needs no packing. B is panelled: panel p holds columns
 * 8p … 8p+7 as [k][8] f32, `panelStride` bytes from the next. Four rows by one panel, two by two, one by four: always
 * eight accumulators, and each element sums over k in the same order, so a row's result does not depend on how many
 * rows are processed with it.
 *
 * Loops leave in the middle after each step over k instead of being unrolled plainly: V8's TurboFan moves all loads of
 * a basic block to its front, and more than six spill the accumulators. Measured on Node 20 at n = 512, GFLOP/s:
 * one step a round 40, two unrolled 31, eight 29; four with exits 46. 6x8 spills in any form.
 */
import { madd } from "./vector";

// @ts-ignore: decorator
@inline function initial(c: usize, accumulate: bool): v128 {
  return accumulate ? v128.load(c) : f32x4.splat(0);
}

/** Four rows by one panel. */
function rows4(a: usize, lda: usize, b: usize, k: i32, c: usize, ldc: usize, accumulate: bool): void {
  let a1 = a + lda;
  let a2 = a1 + lda;
  let a3 = a2 + lda;
  const c1 = c + ldc;
  const c2 = c1 + ldc;
  const c3 = c2 + ldc;
  let s00 = initial(c, accumulate), s01 = initial(c + 16, accumulate);
  let s10 = initial(c1, accumulate), s11 = initial(c1 + 16, accumulate);
  let s20 = initial(c2, accumulate), s21 = initial(c2 + 16, accumulate);
  let s30 = initial(c3, accumulate), s31 = initial(c3 + 16, accumulate);
  let b0: v128, b1: v128, x: v128;
  const end = b + (<usize>k << 5);
  const end1 = end - 32;
  const end2 = end - 64;
  const end3 = end - 96;
  while (b < end) {
    b0 = v128.load(b);
    b1 = v128.load(b, 16);
    x = v128.load32_splat(a);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    if (b >= end1) break;
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a, 4);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 4);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 4);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 4);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    if (b >= end2) break;
    b0 = v128.load(b, 64);
    b1 = v128.load(b, 80);
    x = v128.load32_splat(a, 8);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 8);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 8);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 8);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    if (b >= end3) break;
    b0 = v128.load(b, 96);
    b1 = v128.load(b, 112);
    x = v128.load32_splat(a, 12);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 12);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 12);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 12);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    a += 16;
    a1 += 16;
    a2 += 16;
    a3 += 16;
    b += 128;
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c1, s10);
  v128.store(c1, s11, 16);
  v128.store(c2, s20);
  v128.store(c2, s21, 16);
  v128.store(c3, s30);
  v128.store(c3, s31, 16);
}

/** Two rows by two panels. */
function rows2(a: usize, lda: usize, b: usize, stride: usize, k: i32, c: usize, ldc: usize, accumulate: bool): void {
  let a1 = a + lda;
  let d = b + stride;
  const c1 = c + ldc;
  let s00 = initial(c, accumulate);
  let s01 = initial(c + 16, accumulate);
  let s02 = initial(c + 32, accumulate);
  let s03 = initial(c + 48, accumulate);
  let s10 = initial(c1, accumulate);
  let s11 = initial(c1 + 16, accumulate);
  let s12 = initial(c1 + 32, accumulate);
  let s13 = initial(c1 + 48, accumulate);
  let x: v128, y: v128, w: v128;
  const end = b + (<usize>k << 5);
  const end1 = end - 32;
  while (b < end) {
    x = v128.load32_splat(a);
    y = v128.load32_splat(a1);
    w = v128.load(b);
    s00 = madd(x, w, s00);
    s10 = madd(y, w, s10);
    w = v128.load(b, 16);
    s01 = madd(x, w, s01);
    s11 = madd(y, w, s11);
    w = v128.load(d);
    s02 = madd(x, w, s02);
    s12 = madd(y, w, s12);
    w = v128.load(d, 16);
    s03 = madd(x, w, s03);
    s13 = madd(y, w, s13);
    if (b >= end1) break;
    x = v128.load32_splat(a, 4);
    y = v128.load32_splat(a1, 4);
    w = v128.load(b, 32);
    s00 = madd(x, w, s00);
    s10 = madd(y, w, s10);
    w = v128.load(b, 48);
    s01 = madd(x, w, s01);
    s11 = madd(y, w, s11);
    w = v128.load(d, 32);
    s02 = madd(x, w, s02);
    s12 = madd(y, w, s12);
    w = v128.load(d, 48);
    s03 = madd(x, w, s03);
    s13 = madd(y, w, s13);
    a += 8;
    a1 += 8;
    b += 64;
    d += 64;
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c, s02, 32);
  v128.store(c, s03, 48);
  v128.store(c1, s10);
  v128.store(c1, s11, 16);
  v128.store(c1, s12, 32);
  v128.store(c1, s13, 48);
}

/** One row by four panels; the half-way exit is never taken (k ≥ 0). */
function rows1(a: usize, b: usize, stride: usize, k: i32, c: usize, accumulate: bool): void {
  let b1 = b + stride;
  let b2 = b1 + stride;
  let b3 = b2 + stride;
  let s0 = initial(c, accumulate);
  let s1 = initial(c + 16, accumulate);
  let s2 = initial(c + 32, accumulate);
  let s3 = initial(c + 48, accumulate);
  let s4 = initial(c + 64, accumulate);
  let s5 = initial(c + 80, accumulate);
  let s6 = initial(c + 96, accumulate);
  let s7 = initial(c + 112, accumulate);
  let x: v128;
  const end = b + (<usize>k << 5);
  const end1 = end - 32;
  while (b < end) {
    x = v128.load32_splat(a);
    s0 = madd(x, v128.load(b), s0);
    s1 = madd(x, v128.load(b, 16), s1);
    s2 = madd(x, v128.load(b1), s2);
    s3 = madd(x, v128.load(b1, 16), s3);
    if (k < 0) break;
    s4 = madd(x, v128.load(b2), s4);
    s5 = madd(x, v128.load(b2, 16), s5);
    s6 = madd(x, v128.load(b3), s6);
    s7 = madd(x, v128.load(b3, 16), s7);
    if (b >= end1) break;
    x = v128.load32_splat(a, 4);
    s0 = madd(x, v128.load(b, 32), s0);
    s1 = madd(x, v128.load(b, 48), s1);
    s2 = madd(x, v128.load(b1, 32), s2);
    s3 = madd(x, v128.load(b1, 48), s3);
    if (k < 0) break;
    s4 = madd(x, v128.load(b2, 32), s4);
    s5 = madd(x, v128.load(b2, 48), s5);
    s6 = madd(x, v128.load(b3, 32), s6);
    s7 = madd(x, v128.load(b3, 48), s7);
    a += 8;
    b += 64;
    b1 += 64;
    b2 += 64;
    b3 += 64;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
  v128.store(c, s2, 32);
  v128.store(c, s3, 48);
  v128.store(c, s4, 64);
  v128.store(c, s5, 80);
  v128.store(c, s6, 96);
  v128.store(c, s7, 112);
}

/** One row by one panel: what is left over. */
function rows1x1(a: usize, b: usize, k: i32, c: usize, accumulate: bool): void {
  let s0 = initial(c, accumulate), s1 = initial(c + 16, accumulate);
  const end = a + (<usize>k << 2);
  while (a < end) {
    const x = v128.load32_splat(a);
    s0 = madd(x, v128.load(b), s0);
    s1 = madd(x, v128.load(b, 16), s1);
    a += 4;
    b += 32;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
}

/** lda, ldc and panelStride in bytes. Writes all 8·panels columns of C. */
export function matmul(
  a: usize, lda: usize, m: i32,
  b: usize, panelStride: usize, panels: i32, k: i32,
  c: usize, ldc: usize, accumulate: bool,
): void {
  const quads = m & ~3;
  for (let p = 0; p < panels; p++) {
    const panel = b + <usize>p * panelStride;
    let x = a, y = c + (<usize>p << 5);
    for (let i = 0; i < quads; i += 4) {
      rows4(x, lda, panel, k, y, ldc, accumulate);
      x += lda << 2;
      y += ldc << 2;
    }
  }
  let x = a + <usize>quads * lda, y = c + <usize>quads * ldc;
  if (m & 2) {
    let p = 0;
    for (; p + 2 <= panels; p += 2) {
      rows2(x, lda, b + <usize>p * panelStride, panelStride, k, y + (<usize>p << 5), ldc, accumulate);
    }
    if (p < panels) {
      const panel = b + <usize>p * panelStride;
      rows1x1(x, panel, k, y + (<usize>p << 5), accumulate);
      rows1x1(x + lda, panel, k, y + ldc + (<usize>p << 5), accumulate);
    }
    x += lda << 1;
    y += ldc << 1;
  }
  if (m & 1) {
    let p = 0;
    for (; p + 4 <= panels; p += 4) {
      rows1(x, b + <usize>p * panelStride, panelStride, k, y + (<usize>p << 5), accumulate);
    }
    for (; p < panels; p++) rows1x1(x, b + <usize>p * panelStride, k, y + (<usize>p << 5), accumulate);
  }
}
