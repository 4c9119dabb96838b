/**
 * Rotary positions in place, element i with i + half, after an optional RMS norm of each head.
 * args: x, ldx, rows, heads, d, half, table, norm weight or 0, epsilon, rowsPerTask. The table holds, a row, `half`
 * cosines and then `half` sines, amplitude included.
 */
import { inverseRms, scaleByWeight } from "./rms-norm";

function rotateHead(x: usize, cosines: usize, half: usize): void {
  const y = x + half, sines = cosines + half;
  let i: usize = 0;
  for (; i + 16 <= half; i += 16) {
    const a = v128.load(x + i), b = v128.load(y + i), c = v128.load(cosines + i), s = v128.load(sines + i);
    v128.store(x + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(y + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  for (; i < half; i += 4) {
    const a = load<f32>(x + i), b = load<f32>(y + i), c = load<f32>(cosines + i), s = load<f32>(sines + i);
    store<f32>(x + i, a * c - b * s);
    store<f32>(y + i, b * c + a * s);
  }
}

export function rotate(args: usize, task: i32): void {
  const ldx = <usize>load<u32>(args, 4) << 2, heads = load<i32>(args, 12), width = <usize>load<u32>(args, 16) << 2;
  const half = <usize>load<u32>(args, 20) << 2, table = <usize>load<u32>(args, 24);
  const weight = <usize>load<u32>(args, 28), epsilon = load<f32>(args, 32);
  const first = task * load<i32>(args, 36), last = min(first + load<i32>(args, 36), load<i32>(args, 8));
  for (let r = first; r < last; r++) {
    let x = <usize>load<u32>(args) + <usize>r * ldx;
    for (let h = 0; h < heads; h++) {
      if (weight) scaleByWeight(x, inverseRms(x, width, epsilon), weight, x, width);
      rotateHead(x, table + <usize>r * half * 2, half);
      x += width;
    }
  }
}
