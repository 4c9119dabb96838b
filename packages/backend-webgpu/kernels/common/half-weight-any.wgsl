// Weights as f16, by way of f32.
fn half_weight4(row: u32, column4: u32) -> vec4<f16> {
  return vec4<f16>(weight4(row, column4));
}
