// Weights of q4_0: a row's nibbles, then the f16 scales of its blocks of 32. In a block the low nibbles come first.
// uses: half
@group(0) @binding(2) var<storage, read> weights: array<u32>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let start = row * params.weight_pitch;
  let block = column4 / 8u;
  let scale = half_of(weights[start + params.columns / 8u + block / 2u], block % 2u == 1u);
  let word = weights[start + block * 4u + column4 % 4u] >> (column4 & 4u);
  return scale * (vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) - 8.0);
}
