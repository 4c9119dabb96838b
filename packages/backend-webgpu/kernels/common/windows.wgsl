// Windows of compressed keys: where they lie, and how many a row sees.

// Complete windows among the first `length` tokens.
fn window_count(length: i32, size: u32, stride: u32) -> u32 {
  if length < i32(size) {
    return 0u;
  }
  return (u32(length) - size) / stride + 1u;
}
