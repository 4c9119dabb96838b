// Weights of q4_1: a row's nibbles, then scale and minimum of its blocks of 32 as f16.
// uses: half
@group(0) @binding(2) var<storage, read> weights: array<u32>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let start = row * params.weight_pitch;
  let block = column4 / 8u;
  let pair = weights[start + params.columns / 8u + block];
  let word = weights[start + block * 4u + column4 % 4u] >> (column4 & 4u);
  return half_of(pair, false) * vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) + half_of(pair, true);
}
