/**
 * 8-bit floats `f8_e4m3` (OCP 8-bit Floating Point Specification 1.0, E4M3): sign, 4 exponent bits with bias 7, 3
 * mantissa bits. The largest number is 448, the smallest 2^-9; there is no infinity, 0x7f and 0xff are NaN. Encoding takes
 * binary32 values, rounds to nearest, ties to even, and saturates: what is larger, infinity included, becomes 448.
 */
const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

const F32_INFINITY = 0x7f800000;
const NAN_BITS = 0x7f;
/** 448 = 1.75 · 2^8. */
const LARGEST_BITS = 0x7e;
/** 448 as binary32: everything from here on is 448. */
const SATURATION = 0x43e00000;
/** 2^-6, the smallest normal number, as binary32. */
const SMALLEST_NORMAL = 0x3c800000;
/** 2^-10 as binary32: halfway to the smallest subnormal; the tie goes to the even 0. */
const UNDERFLOW = 0x3a800000;
/** Difference of the exponent biases, 127 − 7, in the exponent's place. */
const REBIAS = 120 << 23;

function f32BitsToF8E4m3(word: number): number {
  const sign = (word >>> 24) & 0x80;
  const magnitude = word & 0x7fffffff;
  if (magnitude > F32_INFINITY) return sign | NAN_BITS;
  if (magnitude >= SATURATION) return sign | LARGEST_BITS;
  if (magnitude >= SMALLEST_NORMAL) {
    const rebased = magnitude - REBIAS;
    return sign | ((rebased + 0x7ffff + ((rebased >>> 20) & 1)) >>> 20);
  }
  if (magnitude <= UNDERFLOW) return sign;
  // The value is mantissa * 2^(exponent - 150), the unit of subnormals 2^-9.
  const shift = 141 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const whole = mantissa >>> shift;
  return sign | ((mantissa + (1 << (shift - 1)) - 1 + (whole & 1)) >>> shift);
}

const table = Float32Array.from({ length: 256 }, (_, byte) => {
  const [sign, exponent, mantissa] = [byte < 0x80 ? 1 : -1, (byte >>> 3) & 15, byte & 7];
  if ((byte & 0x7f) === NAN_BITS) return NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10));
});

/** The number that 8 bits of f8_e4m3 stand for. */
export function f8E4m3ToF32(byte: number): number {
  return table[byte] as number;
}

/** Bits of the f8_e4m3 nearest to `value` (which is first rounded to binary32). */
export function f32ToF8E4m3(value: number): number {
  floats[0] = value;
  return f32BitsToF8E4m3(bits[0] as number);
}

export function decodeF8E4m3(bytes: Uint8Array): Float32Array {
  const out = new Float32Array(bytes.length);
  for (let i = 0; i < out.length; i++) out[i] = table[bytes[i] as number] as number;
  return out;
}

export function encodeF8E4m3(values: Float32Array): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint8Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = f32BitsToF8E4m3(words[i] as number);
  return out;
}
