// Weights of q4_g128 as stored: groups of 128 in 17 words, the first with scale and zero point as f16.
// uses: half
@group(0) @binding(2) var<storage, read> weights: array<u32>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let start = row * params.weight_pitch + column4 / 32u * 17u;
  let head = weights[start];
  let word = weights[start + 1u + column4 % 32u / 2u] >> (16u * (column4 & 1u));
  let quants = vec4f((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u));
  return half_of(head, false) * (quants - half_of(head, true));
}
