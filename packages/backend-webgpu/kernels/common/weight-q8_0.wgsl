// Weights of q8_0: a row's bytes, then the f16 scales of its blocks of 32.
// uses: half
@group(0) @binding(2) var<storage, read> weights: array<u32>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let start = row * params.weight_pitch;
  let block = column4 / 8u;
  let scale = half_of(weights[start + params.columns / 4u + block / 2u], block % 2u == 1u);
  let word = bitcast<i32>(weights[start + column4]);
  return scale * vec4f((vec4i(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
