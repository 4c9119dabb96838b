/**
 * One row of x times a weight of f16 or bf16, for decoding: values are widened in registers, never stored. Sums run
 * over k in order, so that a row's result is the one `matmul` gives.
 */
import { BF16, f16x4, bf16x4 } from "./half";
import { madd } from "./vector";

/** x [k] times four panels of bf16 [k][8], `stride` bytes apart; out gets 32 columns. See `matmul.ts` for the exits. */
function bf16Panels4(x: usize, w: usize, stride: usize, k: i32, out: usize): void {
  const zero = i32x4.splat(0);
  let w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  const end = w + (<usize>k << 4);
  while (w < end) {
    const a = v128.load32_splat(x);
    let raw = v128.load(w);
    s0 = madd(a, v128.shuffle<i16>(zero, raw, 0, 8, 1, 9, 2, 10, 3, 11), s0);
    s1 = madd(a, v128.shuffle<i16>(zero, raw, 4, 12, 5, 13, 6, 14, 7, 15), s1);
    raw = v128.load(w1);
    s2 = madd(a, v128.shuffle<i16>(zero, raw, 0, 8, 1, 9, 2, 10, 3, 11), s2);
    s3 = madd(a, v128.shuffle<i16>(zero, raw, 4, 12, 5, 13, 6, 14, 7, 15), s3);
    if (k < 0) break;
    raw = v128.load(w2);
    s4 = madd(a, v128.shuffle<i16>(zero, raw, 0, 8, 1, 9, 2, 10, 3, 11), s4);
    s5 = madd(a, v128.shuffle<i16>(zero, raw, 4, 12, 5, 13, 6, 14, 7, 15), s5);
    raw = v128.load(w3);
    s6 = madd(a, v128.shuffle<i16>(zero, raw, 0, 8, 1, 9, 2, 10, 3, 11), s6);
    s7 = madd(a, v128.shuffle<i16>(zero, raw, 4, 12, 5, 13, 6, 14, 7, 15), s7);
    x += 4;
    w += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
  }
  v128.store(out, s0);
  v128.store(out, s1, 16);
  v128.store(out, s2, 32);
  v128.store(out, s3, 48);
  v128.store(out, s4, 64);
  v128.store(out, s5, 80);
  v128.store(out, s6, 96);
  v128.store(out, s7, 112);
}

/** x [k] times two panels of f16. */
function f16Panels2(x: usize, w: usize, stride: usize, k: i32, out: usize): void {
  let w1 = w + stride;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  const end = w + (<usize>k << 4);
  while (w < end) {
    const a = v128.load32_splat(x);
    let raw = v128.load(w);
    s0 = madd(a, f16x4(i32x4.extend_low_i16x8_s(raw)), s0);
    s1 = madd(a, f16x4(i32x4.extend_high_i16x8_s(raw)), s1);
    raw = v128.load(w1);
    s2 = madd(a, f16x4(i32x4.extend_low_i16x8_s(raw)), s2);
    s3 = madd(a, f16x4(i32x4.extend_high_i16x8_s(raw)), s3);
    x += 4;
    w += 16;
    w1 += 16;
  }
  v128.store(out, s0);
  v128.store(out, s1, 16);
  v128.store(out, s2, 32);
  v128.store(out, s3, 48);
}

/** x [k] times one panel of f16 or bf16: what is left over. */
function panel1(kind: i32, x: usize, w: usize, k: i32, out: usize): void {
  let s0 = f32x4.splat(0), s1 = s0;
  const end = w + (<usize>k << 4);
  while (w < end) {
    const a = v128.load32_splat(x), raw = v128.load(w);
    const low = i32x4.extend_low_i16x8_s(raw), high = i32x4.extend_high_i16x8_s(raw);
    s0 = madd(a, kind == BF16 ? bf16x4(low) : f16x4(low), s0);
    s1 = madd(a, kind == BF16 ? bf16x4(high) : f16x4(high), s1);
    x += 4;
    w += 16;
  }
  v128.store(out, s0);
  v128.store(out, s1, 16);
}

/** `panels` panels of f16 or bf16, `stride` bytes apart; out gets all 8·panels columns. */
export function halfRow(kind: i32, x: usize, w: usize, stride: usize, panels: i32, k: i32, out: usize): void {
  let p = 0;
  if (kind == BF16) {
    for (; p + 4 <= panels; p += 4) bf16Panels4(x, w + <usize>p * stride, stride, k, out + (<usize>p << 5));
  } else {
    for (; p + 2 <= panels; p += 2) f16Panels2(x, w + <usize>p * stride, stride, k, out + (<usize>p << 5));
  }
  for (; p < panels; p++) panel1(kind, x, w + <usize>p * stride, k, out + (<usize>p << 5));
}
