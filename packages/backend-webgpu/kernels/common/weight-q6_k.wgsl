// Weights of q6_k: blocks of 256 in 53 words: low bits, high bits, 16 signed scales, an f16.
// uses: half
@group(0) @binding(2) var<storage, read> weights: array<u32>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let start = row * params.weight_pitch + column4 / 64u * 53u;
  let within = column4 % 64u;
  let half = within / 32u;
  let part = within / 8u % 4u;
  let low = weights[start + half * 16u + (part & 1u) * 8u + within % 8u] >> (4u * (part >> 1u));
  let high = weights[start + 32u + half * 8u + within % 8u] >> (2u * part);
  let scales = bitcast<i32>(weights[start + 48u + within / 16u]);
  let scale = f32((scales << (24u - 8u * (within / 4u % 4u))) >> 24u) * half_of(weights[start + 52u], false);
  let bytes = vec4u(0u, 8u, 16u, 24u);
  let quants = ((vec4u(low) >> bytes) & vec4u(15u)) | (((vec4u(high) >> bytes) & vec4u(3u)) << vec4u(4u));
  return scale * (vec4f(quants) - 32.0);
}
