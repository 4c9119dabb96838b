// What the kernels of a product with a weight share: parameters, bindings (2 is the weight's) and how a result is stored.
struct Params {
  rows: u32,
  columns: u32,
  outputs: u32,
  weight_pitch: u32,
  x_start4: u32,
  x_stride4: u32,
  out_start: u32,
  out_stride: u32,
  bias_start: u32,
  has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element4>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<Result>;

// Adds the bias. Rows and outputs past the last are left out.
fn store(row: u32, output: u32, product: f32) {
  if row < params.rows && output < params.outputs {
    var sum = product;
    if params.has_bias != 0u {
      sum += bias[params.bias_start + output];
    }
    out[params.out_start + row * params.out_stride + output] = Result(sum);
  }
}
