/**
 * 16-bit floats. `f16` is IEEE binary16, `bf16` the upper half of a binary32. Encoding takes binary32 values and
 * rounds to nearest, ties to even; what is too large becomes infinity; a NaN stays a NaN.
 */
const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

const F32_INFINITY = 0x7f800000;
/** 65520 as binary32: halfway between the largest f16 and the next step, so from here on f16 is infinite. */
const F16_OVERFLOW = 0x477ff000;
/** 2^-14, the smallest normal f16, as binary32. */
const F16_SMALLEST_NORMAL = 0x38800000;
/** 2^-25 as binary32: halfway to the smallest subnormal f16; the tie goes to the even 0. */
const F16_UNDERFLOW = 0x33000000;
/** Difference of the exponent biases, 127 − 15, in the exponent's place. */
const REBIAS = 112 << 23;

function f32BitsToF16(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= F16_OVERFLOW) {
    const payload = magnitude > F32_INFINITY ? 0x200 | ((magnitude >>> 13) & 0x1ff) : 0;
    return sign | 0x7c00 | payload;
  }
  if (magnitude >= F16_SMALLEST_NORMAL) {
    const rebased = magnitude - REBIAS;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= F16_UNDERFLOW) return sign;
  // The value is mantissa * 2^(exponent - 150), the unit of subnormals 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const whole = mantissa >>> shift;
  return sign | ((mantissa + (1 << (shift - 1)) - 1 + (whole & 1)) >>> shift);
}

function f16BitsToF32(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return (sign | F32_INFINITY | (mantissa << 13)) >>> 0;
  if (exponent > 0) return (sign | ((exponent << 23) + REBIAS) | (mantissa << 13)) >>> 0;
  if (mantissa === 0) return sign >>> 0;
  const lead = Math.clz32(mantissa) - 21;
  return (sign | ((113 - lead) << 23) | (((mantissa << lead) & 0x3ff) << 13)) >>> 0;
}

function f32BitsToBf16(word: number): number {
  if ((word & 0x7fffffff) > F32_INFINITY) return (word >>> 16) | 0x40;
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

/** The number that 16 bits of f16 stand for. */
export function f16ToF32(half: number): number {
  bits[0] = f16BitsToF32(half);
  return floats[0] as number;
}

/** Bits of the f16 nearest to `value` (which is first rounded to binary32). */
export function f32ToF16(value: number): number {
  floats[0] = value;
  return f32BitsToF16(bits[0] as number);
}

/** The number that 16 bits of bf16 stand for. */
export function bf16ToF32(half: number): number {
  bits[0] = half << 16;
  return floats[0] as number;
}

/** Bits of the bf16 nearest to `value` (which is first rounded to binary32). */
export function f32ToBf16(value: number): number {
  floats[0] = value;
  return f32BitsToBf16(bits[0] as number);
}

let f16Table: Uint32Array | undefined;

/** f32 bits of all 65,536 halves (256 KiB), made on first use: a look-up is several times faster than the arithmetic. */
function f16BitsTable(): Uint32Array {
  f16Table ??= Uint32Array.from({ length: 65536 }, (_, half) => f16BitsToF32(half));
  return f16Table;
}

export function decodeF16(halves: Uint16Array): Float32Array {
  const table = f16BitsTable();
  const out = new Float32Array(halves.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < words.length; i++) words[i] = table[halves[i] as number] as number;
  return out;
}

export function encodeF16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = f32BitsToF16(words[i] as number);
  return out;
}

export function decodeBf16(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (halves[i] as number) << 16;
  return out;
}

export function encodeBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = f32BitsToBf16(words[i] as number);
  return out;
}
