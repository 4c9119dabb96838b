// Weights of f16: [rows, pitch] fours.
@group(0) @binding(2) var<storage, read> weights: array<vec2u>;

// Columns 4 * column4 to 4 * column4 + 3 of a row.
fn weight4(row: u32, column4: u32) -> vec4f {
  let stored = weights[row * params.weight_pitch + column4];
  return vec4f(unpack2x16float(stored.x), unpack2x16float(stored.y));
}
