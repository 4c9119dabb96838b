/** f16 and bf16 to f32 and back. Element kinds as in `src/abi.ts`: 0 f32, 1 f16, 2 bf16. */

export const F32: i32 = 0;
export const F16: i32 = 1;
export const BF16: i32 = 2;

/** Four bf16, each in the low half of a lane, to f32. */
// @ts-ignore: decorator
@inline export function bf16x4(bits: v128): v128 {
  return i32x4.shl(bits, 16);
}

/**
 * Four f16, each in the low half of a lane (the high half filled with its sign), to f32: moved onto f32's fields and multiplied by 2^112 to correct the exponent, which gets subnormals right;
 * what was infinite or NaN gets the full exponent back.
 */
// @ts-ignore: decorator
@inline export function f16x4(bits: v128): v128 {
  const fields = v128.and(i32x4.shl(bits, 13), i32x4.splat(0x8fffe000));
  const exponent = i32x4.splat(0x0f800000);
  const special = v128.and(i32x4.eq(v128.and(fields, exponent), exponent), i32x4.splat(0x7f800000));
  return v128.or(f32x4.mul(fields, f32x4.splat(5.192296858534828e33)), special);
}

export function f16Scalar(bits: u32): f32 {
  return f32x4.extract_lane(f16x4(i32x4.splat(<i32>(<i16>bits))), 0);
}

export function loadScalar(kind: i32, base: usize, index: usize): f32 {
  if (kind == F32) return load<f32>(base + (index << 2));
  const bits = <u32>load<u16>(base + (index << 1));
  if (kind == BF16) return reinterpret<f32>(bits << 16);
  return f16Scalar(bits);
}

/** Round to nearest even; NaN stays NaN. */
function toBf16(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return <u16>((bits >> 16) | 0x40);
  return <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/** Round to nearest even, to infinity above 65519, through subnormals; NaN stays NaN. */
export function toF16(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  const sign = (bits >> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return <u16>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return <u16>(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    // Adding 0.5 shifts a subnormal's bits into the low mantissa, rounded by the addition itself.
    const shifted = reinterpret<u32>(reinterpret<f32>(magnitude) + <f32>0.5) - 0x3f000000;
    return <u16>(sign | shifted);
  }
  return <u16>(sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13));
}

export function storeScalar(kind: i32, base: usize, index: usize, x: f32): void {
  if (kind == F32) store<f32>(base + (index << 2), x);
  else store<u16>(base + (index << 1), kind == BF16 ? toBf16(x) : toF16(x));
}

/** `count` halves, a multiple of 8, to f32. */
export function widen(kind: i32, from: usize, to: usize, count: i32): void {
  const end = to + (<usize>count << 2);
  if (kind == BF16) {
    while (to < end) {
      const raw = v128.load(from);
      v128.store(to, bf16x4(i32x4.extend_low_i16x8_u(raw)));
      v128.store(to, bf16x4(i32x4.extend_high_i16x8_u(raw)), 16);
      from += 16;
      to += 32;
    }
  } else {
    while (to < end) {
      const raw = v128.load(from);
      v128.store(to, f16x4(i32x4.extend_low_i16x8_s(raw)));
      v128.store(to, f16x4(i32x4.extend_high_i16x8_s(raw)), 16);
      from += 16;
      to += 32;
    }
  }
}
