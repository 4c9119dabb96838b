// Weights of q4_k as stored: blocks of 256 in 36 words.
// uses: half k-scales
@group(0) @binding(2) var<storage, read> weights: array<u32>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let start = row * params.weight_pitch + column4 / 64u * 36u;
  let j = column4 / 8u % 8u;
  let head = weights[start];
  let pair = k_scale(start, j) * vec2f(half_of(head, false), half_of(head, true));
  let word = weights[start + 4u + j / 2u * 8u + column4 % 8u] >> (4u * (j & 1u));
  return pair.x * vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) - pair.y;
}
