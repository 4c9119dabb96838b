// Four numbers of a cache of f32.
alias CacheVector = vec4f;

fn from_cache(stored: CacheVector) -> vec4f {
  return stored;
}

fn to_cache(values: vec4f) -> CacheVector {
  return values;
}
