// Rotary embedding in place, after an optional RMS norm of each head. A workgroup a (head, row).
// uses: sine

struct Params {
  head_dim: u32,
  half: u32,
  x_start: u32,
  x_stride: u32,
  positions_start: u32,
  frequencies_start: u32,
  gains_start: u32,
  has_norm: u32,
  epsilon: f32,
  amplitude: f32,
  zero: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Element>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read> frequencies: array<f32>;
@group(0) @binding(4) var<storage, read> gains: array<f32>;

const THREADS = 64u;
const MOST_HEAD_DIM = 256u;

var<workgroup> values: array<f32, MOST_HEAD_DIM>;
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let origin = params.x_start + group.y * params.x_stride + group.x * params.head_dim;
  var squares = 0.0;
  for (var i = local.x; i < params.head_dim; i += THREADS) {
    let value = f32(x[origin + i]);
    values[i] = value;
    squares += value * value;
  }
  var inverse = 1.0;
  if params.has_norm != 0u {
    sums[local.x] = squares;
    for (var width = THREADS / 2u; width > 0u; width /= 2u) {
      workgroupBarrier();
      if local.x < width {
        sums[local.x] += sums[local.x + width];
      }
    }
    workgroupBarrier();
    inverse = 1.0 / sqrt(sums[0] / f32(params.head_dim) + params.epsilon);
  }
  workgroupBarrier();
  let position = f32(positions[params.positions_start + group.y]);
  for (var i = local.x; i < params.head_dim; i += THREADS) {
    if i < params.half {
      let turned = params.amplitude * cos_sin(position * frequencies[params.frequencies_start + i], params.zero);
      let a = normed(i, inverse);
      let b = normed(i + params.half, inverse);
      x[origin + i] = Element(a * turned.x - b * turned.y);
      x[origin + i + params.half] = Element(b * turned.x + a * turned.y);
    } else if i >= 2u * params.half {
      x[origin + i] = Element(normed(i, inverse));
    }
  }
}

fn normed(i: u32, inverse: f32) -> f32 {
  if params.has_norm == 0u {
    return values[i];
  }
  return values[i] * inverse * gains[params.gains_start + i];
}
