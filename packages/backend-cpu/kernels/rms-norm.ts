/**
 * out = x / sqrt(mean(x²) + epsilon) · weight, after x += scale · delta in place when there is a delta.
 * args: x, ldx, delta or 0, ldd, scale, weight, epsilon, out, ldo, rows, width, rowsPerTask.
 */
import { madd, sum4 } from "./vector";

function addScaled(x: usize, delta: usize, width: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  let i: usize = 0;
  for (; i + 16 <= width; i += 16) v128.store(x + i, madd(v128.load(delta + i), factor, v128.load(x + i)));
  for (; i < width; i += 4) store<f32>(x + i, load<f32>(x + i) + load<f32>(delta + i) * scale);
}

/** 1 / sqrt(mean of squares + epsilon) of `width` bytes of f32. */
export function inverseRms(x: usize, width: usize, epsilon: f32): f32 {
  let s0 = f32x4.splat(0), s1 = s0;
  let i: usize = 0;
  for (; i + 32 <= width; i += 32) {
    const a = v128.load(x + i), b = v128.load(x + i, 16);
    s0 = madd(a, a, s0);
    s1 = madd(b, b, s1);
  }
  let sum = sum4(f32x4.add(s0, s1));
  for (; i < width; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
  return <f32>1 / sqrt<f32>(sum / <f32>(width >> 2) + epsilon);
}

export function scaleByWeight(x: usize, factor: f32, weight: usize, out: usize, width: usize): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i + 16 <= width; i += 16) {
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), factors), v128.load(weight + i)));
  }
  for (; i < width; i += 4) store<f32>(out + i, load<f32>(x + i) * factor * load<f32>(weight + i));
}

export function rmsNorm(args: usize, task: i32): void {
  const ldx = <usize>load<u32>(args, 4) << 2, ldd = <usize>load<u32>(args, 12) << 2;
  const scale = load<f32>(args, 16), weight = <usize>load<u32>(args, 20), epsilon = load<f32>(args, 24);
  const ldo = <usize>load<u32>(args, 32) << 2, width = <usize>load<u32>(args, 40) << 2;
  const first = task * load<i32>(args, 44), last = min(first + load<i32>(args, 44), load<i32>(args, 36));
  for (let r = first; r < last; r++) {
    const x = <usize>load<u32>(args) + <usize>r * ldx;
    const delta = <usize>load<u32>(args, 8);
    if (delta) addScaled(x, delta + <usize>r * ldd, width, scale);
    scaleByWeight(x, inverseRms(x, width, epsilon), weight, <usize>load<u32>(args, 28) + <usize>r * ldo, width);
  }
}
