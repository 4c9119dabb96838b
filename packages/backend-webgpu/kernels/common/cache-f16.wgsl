// Four numbers of a cache of f16.
// uses: half
alias CacheVector = vec2u;

fn from_cache(stored: CacheVector) -> vec4f {
  return vec4f(unpack2x16float(stored.x), unpack2x16float(stored.y));
}

fn to_cache(values: vec4f) -> CacheVector {
  return vec2u(
    half_bits(values.x) | (half_bits(values.y) << 16u),
    half_bits(values.z) | (half_bits(values.w) << 16u),
  );
}
