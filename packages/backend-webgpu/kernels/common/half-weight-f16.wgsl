// Weights of f16 as they are stored.
fn half_weight4(row: u32, column4: u32) -> vec4<f16> {
  return bitcast<vec4<f16>>(weights[row * params.weight_pitch + column4]);
}
