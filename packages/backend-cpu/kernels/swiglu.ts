/** out = gate · sigmoid(gate) · up. args: gateUp, ldg, out, ldo, rows, width, rowsPerTask. */
import { exp2 } from "./vector";

// @ts-ignore: decorator
@inline function gated(gate: v128, up: v128): v128 {
  const e = exp2(f32x4.mul(gate, f32x4.splat(-1.4426950408889634)));
  return f32x4.mul(f32x4.div(gate, f32x4.add(e, f32x4.splat(1))), up);
}

export function swiglu(args: usize, task: i32): void {
  const ldg = <usize>load<u32>(args, 4) << 2, ldo = <usize>load<u32>(args, 12) << 2;
  const width = <usize>load<u32>(args, 20) << 2;
  const first = task * load<i32>(args, 24), last = min(first + load<i32>(args, 24), load<i32>(args, 16));
  for (let r = first; r < last; r++) {
    const gate = <usize>load<u32>(args) + <usize>r * ldg, up = gate + width;
    const out = <usize>load<u32>(args, 8) + <usize>r * ldo;
    let i: usize = 0;
    for (; i + 16 <= width; i += 16) v128.store(out + i, gated(v128.load(gate + i), v128.load(up + i)));
    for (; i < width; i += 4) {
      const y = gated(f32x4.splat(load<f32>(gate + i)), f32x4.splat(load<f32>(up + i)));
      store<f32>(out + i, f32x4.extract_lane(y, 0));
    }
  }
}
