// 16-bit floats in words, without the f16 extension.

// The f16 in the low 16 bits. GPUs may flush what unpack2x16float makes of tiny scales; this keeps them.
fn half_value(bits: u32) -> f32 {
  let size = bits & 0x7fffu;
  let normal = bitcast<f32>((size << 13u) + 0x38000000u);
  let finite = select(normal, f32(size) * 5.9604644775390625e-8, size < 0x400u);
  let value = select(finite, bitcast<f32>((size << 13u) | 0x7f800000u), size >= 0x7c00u);
  return select(value, -value, (bits & 0x8000u) != 0u);
}

// The low or high half of a word.
fn half_of(word: u32, high: bool) -> f32 {
  return half_value(select(word & 0xffffu, word >> 16u, high));
}

// The nearest f16, a tie to the even one; NaN stays NaN.
fn half_bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if size > 0x7f800000u {
    return sign | 0x7e00u;
  }
  if size >= 0x47800000u {
    return sign | 0x7c00u;
  }
  if size < 0x38800000u {
    // Below 2^-14: a multiple of 2^-24. Adding 2^23 ulps of the target rounds to it.
    let aligned = bitcast<f32>(size) + 0.5;
    return sign | (bitcast<u32>(aligned) - 0x3f000000u);
  }
  return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
}

fn brain_bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
  return select(rounded, (bits >> 16u) | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}

fn brain4(words: vec2u) -> vec4f {
  return vec4f(
    bitcast<f32>(words.x << 16u), bitcast<f32>(words.x & 0xffff0000u),
    bitcast<f32>(words.y << 16u), bitcast<f32>(words.y & 0xffff0000u),
  );
}
