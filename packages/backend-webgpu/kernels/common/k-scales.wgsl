// The eight 6-bit scales and minima of a block of q4_k or q5_k, in words 1 to 3 of the block at `start`. Needs `weights`.

fn k_byte(start: u32, index: u32) -> u32 {
  return (weights[start + 1u + index / 4u] >> (8u * (index % 4u))) & 0xffu;
}

// Scale and minimum of sub-block j.
fn k_scale(start: u32, j: u32) -> vec2f {
  let own = vec2u(k_byte(start, j & 3u), k_byte(start, 4u + (j & 3u)));
  if j < 4u {
    return vec2f(own & vec2u(63u));
  }
  let low = k_byte(start, j + 4u);
  return vec2f(vec2u(low & 15u, low >> 4u) | ((own >> vec2u(6u)) << vec2u(4u)));
}
