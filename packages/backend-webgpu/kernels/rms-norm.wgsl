// x += scale * delta where there is a delta; out = x / sqrt(mean(x^2) + epsilon) * weight. A workgroup a row.

struct Params {
  rows: u32,
  columns: u32,
  x_start: u32,
  x_stride: u32,
  delta_start: u32,
  delta_stride: u32,
  weight_start: u32,
  out_start: u32,
  out_stride: u32,
  has_delta: u32,
  scale: f32,
  epsilon: f32,
}

override THREADS: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Element>;
@group(0) @binding(2) var<storage, read> delta: array<Element>;
@group(0) @binding(3) var<storage, read> gains: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<Element>;

var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = group.x;
  let origin = params.x_start + row * params.x_stride;
  var squares = 0.0;
  for (var i = local.x; i < params.columns; i += THREADS) {
    var value = x[origin + i];
    if params.has_delta != 0u {
      value = Element(f32(value) + params.scale * f32(delta[params.delta_start + row * params.delta_stride + i]));
      x[origin + i] = value;
    }
    squares += f32(value) * f32(value);
  }
  sums[local.x] = squares;
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if local.x < width {
      sums[local.x] += sums[local.x + width];
    }
  }
  workgroupBarrier();
  let inverse = 1.0 / sqrt(sums[0] / f32(params.columns) + params.epsilon);
  // Each invocation reads what it wrote itself.
  for (var i = local.x; i < params.columns; i += THREADS) {
    out[params.out_start + row * params.out_stride + i] = Element(f32(x[origin + i]) * inverse * gains[params.weight_start + i]);
  }
}
