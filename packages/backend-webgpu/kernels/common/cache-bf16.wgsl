// Four numbers of a cache of bf16.
// uses: half
alias CacheVector = vec2u;

fn from_cache(stored: CacheVector) -> vec4f {
  return brain4(stored);
}

fn to_cache(values: vec4f) -> CacheVector {
  return vec2u(
    brain_bits(values.x) | (brain_bits(values.y) << 16u),
    brain_bits(values.z) | (brain_bits(values.w) << 16u),
  );
}
